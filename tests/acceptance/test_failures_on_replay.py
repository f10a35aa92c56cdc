"""A replay catches what the first run caught: the class of an exception does not depend on what happens to be imported by then."""

import subprocess
import sys
from pathlib import Path

APP = """
import asyncio, os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from perdure import Engine, Retry, receive, step, workflow

@step(retry=Retry(attempts=1))
async def call() -> None:
    import lazy_client                 # imported where it is needed, as clients of big services often are
    lazy_client.call()

@step
async def note(text: str) -> None: ...

@workflow
async def flow() -> str:
    try:
        await call()
    except OSError:                    # lazy_client.Unreachable is one
        await note("the other side is away")
        return await receive("go", str)
    except Exception:
        await note("it failed for good")
    return "failed"

async def main(turn: str) -> None:
    if turn == "imported":
        import lazy_client
    async with Engine("sqlite:///" + sys.argv[1], [flow]) as engine:
        run = await engine.start(flow, id="order")
        if turn == "not imported":
            await run.signal("go", "x")
        if turn == "imported":
            await run.resume()
        while (status := await run.status()).state in ("pending", "running") or (turn != "first" and status.state == "waiting"):
            await asyncio.sleep(0.02)
        print(status.state, await run.result() if status.state == "completed" else (status.error or {}).get("message"))

asyncio.run(asyncio.wait_for(main(sys.argv[2]), 30))
"""


def test_a_caught_exception_of_a_module_that_is_not_imported_yet_sets_the_run_aside_until_it_is(tmp_path: Path) -> None:
    (tmp_path / "lazy_client.py").write_text("class Unreachable(OSError): pass\ndef call(): raise Unreachable('away')\n")

    def turn(name: str) -> str:
        command = [sys.executable, "-c", APP, str(tmp_path / "store.db"), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert turn("first").startswith("waiting")
    refusal = turn("not imported")
    assert refusal.startswith("quarantined")
    assert "lazy_client.Unreachable" in refusal
    assert "import its module where the worker starts" in refusal
    assert turn("imported") == "completed x"
