"""The demo from its first line to its exit status."""

import asyncio
import random
import shutil
import signal
import tempfile
from decimal import Decimal
from pathlib import Path

from perdure.demo.findings import Findings, examine
from perdure.demo.ledger import read_ledger
from perdure.demo.order_system import LEDGER
from perdure.demo.plan import load_requests, make_plan
from perdure.demo.processes import DemoFailed
from perdure.demo.purchasing import PurchaseRequest, budgets
from perdure.demo.report import show_report
from perdure.demo.screen import Screen
from perdure.demo.show import Show
from perdure.errors import BadInput

_FIRST_WORDS = """\
50 purchase requests go through a workflow: budget, decision, order, notice.
The order system is another process: slow, and 30 % of its answers are 503.
The worker is killed with SIGKILL {kills} times while at work, and started again.
Every approved request must be ordered exactly once. Under 30 s (seed {seed})."""


def perform(*, seed: int | None = None, kills: int = 6, keep: str | None = None) -> int:
    """Run the demo; 0 if every promise held, 1 if not."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: no process may be left behind
    seed = random.randrange(10_000) if seed is None else seed
    screen = Screen()
    folder = _folder(keep)
    must_keep = keep is not None
    screen.write(_FIRST_WORDS.format(kills=kills, seed=seed) + "\n")
    try:
        findings = asyncio.run(_perform(folder, screen, seed, kills))
        screen.clear()
        show_report(screen, findings)
        must_keep = must_keep or bool(findings.broken)
        _last_words(screen, findings, folder if must_keep else None, seed)
        return 1 if findings.broken else 0
    except DemoFailed as error:
        must_keep = True
        screen.clear()
        screen.write(f"\n{screen.styled('The demo could not be finished:', 'red')} {error}")
        screen.write(f"Everything it left is in {folder}; again: perdure demo --seed {seed}")
        return 1
    finally:
        screen.clear()
        if not must_keep:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(keep: str | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="perdure-demo-"))
    folder = Path(keep).resolve()
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"{keep} is not empty; the demo needs a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _perform(folder: Path, screen: Screen, seed: int, kills: int) -> Findings:
    requests = load_requests()
    plan = make_plan(requests, _over_budget(requests), seed=seed, kills=kills)
    async with Show(folder, screen, plan, requests) as show:
        await show.play()
        histories = {one.id: await show.client.run(one.id).history() for one in requests}
        return examine(plan, read_ledger(folder / LEDGER), read_ledger(folder / "effects.jsonl"), histories, show.kills)


def _over_budget(requests: list[PurchaseRequest]) -> frozenset[str]:
    left = {centre: Decimal(one["amount"]) - Decimal(one["spent"]) for centre, one in budgets().items()}
    return frozenset(one.id for one in requests if one.total > left[one.cost_centre])


def _last_words(screen: Screen, findings: Findings, folder: Path | None, seed: int) -> None:
    screen.write()
    if findings.broken:
        screen.write(screen.styled(f"Promises were broken. The same again: perdure demo --seed {seed}", "red"))
    else:
        proof = f"Killed {len(findings.losses)} times: each approved request was ordered exactly once, nothing recorded was redone."
        screen.write(screen.styled(proof, "green"))
    screen.write(f"It took {screen.seconds:.1f} s.")
    if folder is not None:
        store = f"sqlite:///{folder / 'purchasing.db'}"
        request = next(iter(load_requests())).id
        screen.write(f"Look at what it left in {folder}:")
        screen.write(f"  perdure run list --store {store}")
        screen.write(f"  perdure run history {request} --store {store}")
    else:
        screen.write("Look inside afterwards: perdure demo --keep kept")
    screen.write("The workflow is ordinary Python: perdure/demo/purchasing.py. Run your own: perdure worker FILE.py")
