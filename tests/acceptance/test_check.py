"""`perdure check`: before a deploy it names each run that the new code would not go on with, and changes nothing."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import apsw
import pytest

from perdure.cli.main import perform
from perdure.model.records import Record
from perdure.store.rows import KINDS

SHOP = """
    import asyncio, os, time
    from perdure import Retry, info, receive, set_status, step, workflow

    @step
    async def reserve(item: str) -> str:
        return item

    @step
    async def charge(item: str, amount: int = 5) -> str:
        return item

    @step(retry=Retry(initial=36000, jitter=0))
    async def ship(item: str) -> str:
        raise OSError("no courier")

    @workflow
    async def fulfil(item: str) -> str:
        await reserve(item)
        await charge(item)
        return await receive("paid", str)

    @workflow
    async def remind(days: int) -> str:
        await reserve("reminder")
        await asyncio.sleep(days * 86400)
        return await reserve("after")

    @workflow
    async def courier(item: str) -> str:
        return await ship(item)

    @workflow
    async def greet(name: str) -> str:
        return await reserve(name)
"""

FILL = """
    import asyncio, sys
    import shop
    from perdure import Engine
    from perdure.settings import Settings

    async def main():
        flows = [shop.fulfil, shop.remind, shop.courier, shop.greet]
        async with Engine(sys.argv[1], flows, settings=Settings(linger_seconds=0)) as engine:
            runs = [await engine.start(shop.fulfil, f"book {number}", id=f"order-{number}") for number in range(5)]
            runs += [await engine.start(shop.remind, 60, id="reminder"), await engine.start(shop.courier, "book", id="parcel")]
            await engine.start("unheard_of", id="stranger")
            assert await (await engine.start(shop.greet, "ann", id="greeting")).result(30) == "ann"
            while any([(await run.status()).state != "waiting" for run in runs]):
                await asyncio.sleep(0.01)
        async with Engine(sys.argv[1], [shop.remind]) as engine:
            pass

    asyncio.run(main())
"""


@dataclass
class Place:
    """A folder with the code and, as `shop.db`, the store that the code of yesterday has filled."""

    folder: Path

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'shop.db'}"

    def change(self, *edits: tuple[str, str]) -> None:
        text = dedent(SHOP)
        for before, after in edits:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        (self.folder / "shop.py").write_text(text)

    def perdure(self, *arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "perdure", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PERDURE_STORE"}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60, **more)

    def check(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.perdure("check", "shop.py", "--store", self.store, *arguments)

    def found(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """By kind and run."""
        lines = self.check("-o", "jsonl", *arguments).stdout.splitlines()
        return {f"{one['kind']} {one['where']}": one for one in map(json.loads, lines)}

    def content(self) -> dict[str, tuple[bytes, int]]:
        files = [path for path in self.folder.glob("shop.db*") if path.is_file()]
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def sql(self, statement: str) -> None:
        db = apsw.Connection(str(self.folder / "shop.db"))
        db.execute(statement).fetchall()
        db.close()


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("yesterday")
    Place(folder).change()
    (folder / "fill.py").write_text(dedent(FILL))
    filled = subprocess.run([sys.executable, "fill.py", f"sqlite:///{folder / 'shop.db'}"], cwd=folder, capture_output=True, check=False)
    assert filled.returncode == 0, filled.stderr
    return folder


@pytest.fixture
def place(yesterday: Path, tmp_path: Path) -> Place:
    for name in ("shop.py", "shop.db"):
        shutil.copy(yesterday / name, tmp_path / name)
    return Place(tmp_path)


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_code_that_goes_on_with_every_run_passes_and_says_nothing_on_standard_output(place: Place) -> None:
    checked = place.check("--workflow", "fulfil")
    assert (checked.returncode, checked.stdout) == (0, "")
    assert "5 runs replayed in " in checked.stderr
    assert "all would go on" in checked.stderr


def test_the_one_run_that_would_diverge_among_good_ones_is_named_with_the_difference(place: Place) -> None:
    place.change(("    await charge(item)\n", '    await charge(item) if item != "book 3" else await reserve(item)\n'))

    checked = place.check("--workflow", "fulfil")

    assert checked.returncode == 1
    difference = "command 1: the history holds step 'charge' (record 3), the code now asks for 'reserve'"
    assert checked.stdout == f"diverges\torder-3\tfulfil\t{difference}\n"
    assert "5 runs replayed in " in checked.stderr
    assert "1 would not go on" in checked.stderr


def test_what_it_says_is_what_a_worker_does_with_the_same_code(place: Place) -> None:
    place.change(
        ("    await charge(item)\n", '    if item not in ("book 1", "book 2"):\n        await charge(item)\n    assert item != "book 2"\n'),
        ("    return await ship(item)\n", "    return await reserve(item)\n"),
    )
    said = {where.removeprefix("diverges "): one["text"] for where, one in place.found().items() if one["kind"] == "diverges"}
    assert set(said) == {"order-1", "order-2", "parcel"}
    assert said["order-2"].endswith("; the workflow has failed by then, with AssertionError: ")

    run = """
        import asyncio, sys
        import shop
        from perdure import Engine
        async def main():
            told = asyncio.Queue()
            async with Engine(sys.argv[1], [shop.fulfil, shop.courier], on_trouble=told.put) as engine:
                for run_id in sys.argv[2:]:
                    run = engine.run(run_id)
                    await run.signal("paid", "yes")
                    while (await told.get()).run_id != run_id:
                        pass
                    print((await run.status()).error["message"])
        asyncio.run(main())
    """
    (place.folder / "run.py").write_text(dedent(run))
    command = [sys.executable, "run.py", place.store, *said]
    worker = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, check=False, timeout=60)

    assert worker.stdout.splitlines() == list(said.values()), worker.stderr


def test_runs_that_wait_for_timers_tries_and_signals_are_all_replayed(place: Place) -> None:
    checked = json.loads(place.check("-o", "json").stdout)
    assert checked["ok"] is True
    assert checked["replayed"] == 7
    assert checked["would_not_go_on"] == 0
    assert [one["kind"] for one in checked["findings"]] == ["workflow"]


def test_a_timer_that_was_taken_out_after_it_fired_and_a_step_between_tries_that_was_renamed_are_told(place: Place) -> None:
    place.change(("    return await ship(item)\n", "    return await charge(item)\n"))
    found = place.found()
    assert found["diverges parcel"]["text"] == "command 0: step 'ship' was under way, the code now asks for 'charge'"


def test_a_workflow_that_is_not_in_the_app_is_told_once_and_fails_nothing(place: Place) -> None:
    checked = place.check()
    assert checked.returncode == 0
    text = "1 unfinished run is of this workflow, which is not in this app: not replayed"
    assert checked.stdout == f"workflow\tunheard_of\tunheard_of\t{text}\n"


def test_changed_arguments_of_recorded_steps_are_told_and_fail_nothing(place: Place) -> None:
    place.change(("    await charge(item)\n", '    await charge(item, 7 if item == "book 0" else 5)\n'))
    checked = place.check("--workflow", "fulfil", "-o", "jsonl")
    assert checked.returncode == 0
    texts = {one["where"]: (one["level"], one["text"]) for one in map(json.loads, checked.stdout.splitlines())}
    said = "command 1, step 'charge' (record 3): its recorded outcome stands, but amount = 7 is new"
    assert texts["order-0"] == ("warning", said)


def test_an_input_that_does_not_fit_any_more_is_told_also_of_a_run_that_has_not_begun(place: Place) -> None:
    place.perdure("run", "start", "fulfil", "--id", "fresh", "--input", '{"item": "pen"}', "--store", place.store)
    place.change(("async def fulfil(item: str)", "async def fulfil(item: int)"))
    found = place.found("--workflow", "fulfil")
    assert "refused fresh" in found
    assert "its input does not fit the code any more: workflow fulfil: item" in found["refused order-0"]["text"]


def test_a_waiting_run_that_would_fail_at_once_is_told(place: Place) -> None:
    place.change(('    return await receive("paid", str)\n', '    return {}["price"]\n'))
    found = place.found("--workflow", "fulfil")
    assert found["ends order-0"]["text"] == "it was recorded to wait, with this code it failed with builtins.KeyError: 'price' at once"


def test_a_run_that_kills_or_blocks_the_process_is_named_and_the_others_are_replayed(place: Place) -> None:
    place.change(("    await charge(item)\n", '    os._exit(7) if item == "book 2" else await charge(item)\n'))
    checked = place.check("--workflow", "fulfil", "--no-lint", "--processes", "1")
    assert checked.stdout == "breaks\torder-2\tfulfil\treplaying it ended its process (status 7): a worker would fare alike\n"
    assert "5 runs replayed" in checked.stderr
    assert checked.returncode == 1


def test_what_workflow_code_prints_is_not_mixed_into_what_was_found(place: Place) -> None:
    place.change(
        ("    await charge(item)\n", '    print("hello")\n    await charge(item)\n'),
        ("import asyncio, os, time", 'import asyncio, os, time; print("loaded")'),
    )
    checked = place.check("-o", "json")
    assert json.loads(checked.stdout)["ok"] is True


def test_a_quarantined_run_is_replayed_like_any_other_and_that_the_code_fits_again_is_told(place: Place) -> None:
    error = b'{"type":"perdure.errors.NonDeterminism","message":"no"}'.hex()
    place.sql(f"update runs set state = 'quarantined', wake_at = null, error = x'{error}' where id in ('order-1', 'order-2')")
    place.change(("    await charge(item)\n", '    await charge(item) if item == "book 1" else await reserve(item)\n'))
    found = place.found("--workflow", "fulfil")
    assert found["matches order-1"]["text"].endswith("deploy, then `perdure run resume order-1`")
    assert found["diverges order-2"]["state"] == "quarantined"


def test_a_run_of_another_python_is_told_with_where_it_would_wait(place: Place) -> None:
    place.sql("update runs set python = '3.99' where id = 'order-1'")
    place.sql("update runs set python = '3.98', only_python = '3.98' where id = 'order-2'")
    place.change(("    await charge(item)\n", "    await reserve(item)\n"))
    found = place.found("--workflow", "fulfil")
    assert (
        f"(recorded on Python 3.99, replayed on 3.{sys.version_info.minor}: it would wait for a worker on 3.99)"
        in found["diverges order-1"]["text"]
    )
    assert found["python order-2"]["text"].startswith("it replays on Python 3.98 only: not replayed")


def test_a_damaged_history_is_told_with_its_run_and_the_others_are_replayed(place: Place) -> None:
    place.sql("update history set name = 'forged' where run_id = 'order-4' and position = 2")
    found = place.found("--workflow", "fulfil")
    assert list(found) == ["damaged order-4"]
    assert "its checksum does not match" in found["damaged order-4"]["text"]


def test_limits_that_are_near_are_told(place: Place) -> None:
    place.sql(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 8000) "
        "insert into inbox select 'default', 'order-0', i, i, 's' || i, 'other', x'6e756c6c', null from n"
    )
    place.sql(
        "with recursive n(i) as (select 4 union all select i + 1 from n where i < 10000) "
        "insert into history select namespace, run_id, generation, i, at, 'signal', 'other', null, null, null, x'6e756c6c', null, 0, 0 "
        "from history, n where run_id = 'order-1' and position = 3"
    )
    mend_checksums(place, "order-1")
    found = place.found("--workflow", "fulfil")
    assert found["inbox order-0"]["text"] == "8,000 signals wait for it; at 10,000 its inbox is full"
    assert found["length order-1"]["text"] == "its history has 10,000 records; at 50,000 it is quarantined"


def mend_checksums(place: Place, run_id: str) -> None:
    db = apsw.Connection(str(place.folder / "shop.db"))
    rows = db.execute(
        "select rowid, position, at, kind, name, command, digest, input, output, error, attempt from history where run_id = ?", (run_id,)
    ).fetchall()
    with db:
        for rowid, position, at, kind, *rest in rows:
            checksum = Record(position, at, KINDS[kind], *rest).checksum()
            db.execute("update history set checksum = ? where rowid = ?", (checksum, rowid))
    db.close()


def test_lines_of_code_that_would_not_replay_are_told_and_fail_the_check(place: Place) -> None:
    place.change(("    await charge(item)\n", "    time.time()\n    await charge(item)\n"))
    checked = place.check("--workflow", "fulfil")
    assert checked.returncode == 1
    text = "time.time reads the clock, which shows another time on every replay: use perdure.now()"
    assert checked.stdout == f"code\tshop.py:20:5\tfulfil\t{text}\n"
    assert place.check("--workflow", "fulfil", "--no-lint").returncode == 0
    assert place.check("--workflow", "fulfil", "--no-replay").returncode == 1


# ── exported histories ───────────────────────────────────────────────────────────────────────────────────────────────


def test_exported_histories_are_replayed_without_a_store_wherever_they_lie(place: Place) -> None:
    kept = place.folder / "kept" / "more"
    kept.mkdir(parents=True)
    for run_id in ("order-1", "reminder", "parcel", "greeting"):
        assert place.perdure("run", "export", run_id, "--to", str(kept / f"{run_id}.json"), "--store", place.store).returncode == 0
    (place.folder / "shop.db").unlink()

    good = place.perdure("check", "shop.py", "kept", "kept/more/order-1.json")
    assert (good.returncode, good.stdout) == (0, "")
    assert "4 runs replayed" in good.stderr

    place.change(("    await charge(item)\n", ""), ("    return await reserve(name)\n", "    return await reserve(name) + '!'\n"))
    bad = place.perdure("check", "shop.py", "kept")
    assert bad.returncode == 1
    lines = [line.split("\t") for line in bad.stdout.splitlines()]
    assert [line[:3] for line in lines] == [
        ["diverges", "kept/more/order-1.json", "fulfil"],
        ["ends", "kept/more/greeting.json", "greet"],
    ]
    assert lines[1][3] == 'it returned "ann", with this code it returned "ann!"'


def test_an_export_is_the_same_every_time_and_goes_to_standard_output_by_default(place: Place) -> None:
    before = place.content()
    first, second = (place.perdure("run", "export", "parcel", "--store", place.store).stdout for _ in range(2))
    document = json.loads(first)
    assert first == second
    assert (document["run"]["workflow"], document["attempts"][0]["name"], document["attempts"][0]["failures"]) == ("courier", "ship", 1)
    assert place.content() == before


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "export", "nobody", "--store", "STORE"], 3, "no run 'nobody'"),
        (["run", "export", "order-1", "--store", "sqlite:///none.db"], 5, "there is no store"),
        (["run", "export", "order-1", "--to", "no/such/folder.json", "--store", "STORE"], 2, "cannot be written"),
        (["run", "export", "order-1"], 2, "no store is named"),
        (["check", "shop.py", "--store", "sqlite:///none.db"], 5, "there is no store"),
        (["check", "shop.py", "--store", "sqlite:///shop.py"], 5, "not an SQLite database"),
        (["check", "shop.py", "--store", "postgresql://127.0.0.1:1/x"], 5, "cannot be reached"),
        (["check", "shop.py", "--store", "STORE", "--workflow", "nothing"], 3, "shop.py has no workflow 'nothing'"),
        (["check", "nowhere.py"], 2, "there is no file nowhere.py"),
        (["check", "shop.py", "nowhere"], 2, "there is no file or folder nowhere"),
        (["check", "shop.py", "empty"], 2, "there is no *.json in the folder empty"),
        (["check", "shop.py", "--no-lint"], 2, "no store is named"),
        (["check", "shop.py", "--processes", "0"], 2, "--processes"),
        (["check", "shop.py", "shop.py"], 1, "1 would not go on"),
        (["check"], 2, "APP"),
    ],
)
def test_bad_input_is_told_with_its_exit_status_and_nothing_is_changed(
    place: Place,
    arguments: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.delenv("PERDURE_STORE", raising=False)
    monkeypatch.syspath_prepend(str(place.folder))
    (place.folder / "empty").mkdir()
    before = place.content()

    ended = perform([one.replace("STORE", place.store) for one in arguments])

    sys.modules.pop("shop", None)
    told = capsys.readouterr()
    assert ended == status, told.err
    assert said in told.err
    assert "Traceback" not in told.err
    assert place.content() == before
    assert not (place.folder / "none.db").exists()


# ── beside production ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_store_that_was_checked_is_the_same_to_the_byte(place: Place) -> None:
    before = place.content()
    place.change(("    await charge(item)\n", "    await reserve(item)\n"))
    assert place.check().returncode == 1
    assert place.content() == before


@pytest.fixture
def busy(place: Place) -> Iterator[Place]:
    """A worker in another process starts runs, runs them and signals them all the time."""
    script = """
        import asyncio, sys
        import shop
        from perdure import Engine
        async def main():
            async with Engine(sys.argv[1], [shop.fulfil, shop.remind, shop.courier, shop.greet]) as engine:
                number = 0
                while True:
                    number += 1
                    runs = [await engine.start(shop.fulfil, "pen", id=f"busy-{number}-{one}") for one in range(20)]
                    for run in runs[5:]:
                        await run.signal("paid", "yes")
                    await asyncio.gather(*(run.result() for run in runs[5:]))
                    print(number, flush=True)
        asyncio.run(main())
    """
    (place.folder / "busy.py").write_text(dedent(script))
    process = subprocess.Popen([sys.executable, "busy.py", place.store], cwd=place.folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield place
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_it_works_beside_a_worker_that_writes_all_the_time_and_does_not_disturb_it(busy: Place) -> None:
    for _ in range(3):
        checked = busy.check("--workflow", "fulfil", "-o", "json")
        assert checked.returncode == 0, checked.stdout
        assert json.loads(checked.stdout)["replayed"] >= 10
    busy.change(("    await charge(item)\n", '    await charge(item) if item != "book 3" else await reserve(item)\n'))
    assert [where for where in busy.found("--workflow", "fulfil") if where.startswith("diverges")] == ["diverges order-3"]


def test_progress_is_shown_on_a_terminal_and_nowhere_else(place: Place) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "perdure", "check", "shop.py", "--store", place.store]
    process = subprocess.Popen(command, cwd=place.folder, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed: the process has ended
            break
    process.communicate()
    os.close(ours)
    assert b"\x1b[K" in shown
    assert b"7 runs replayed" in shown
    assert "\x1b" not in place.check().stderr
