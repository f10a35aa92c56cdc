"""How a check shares its work among processes, and what it makes of one that hangs, dies or cannot begin."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from perdure.cli.checking.children import Children, Job
from perdure.cli.checking.findings import Finding, Kind
from perdure.cli.checking.jobs import Work, list_files, processes_for
from perdure.cli.checking.judging import Judge
from perdure.cli.checking.report import Report
from perdure.cli.complaints import Complaint
from perdure.cli.options import Choices, Output
from perdure.codec.exports import write_export
from perdure.errors import StoreNotFound
from perdure.model.histories import History
from perdure.model.records import Record, RecordKind
from perdure.model.states import RunState

APP = """
    from pathlib import Path
    from perdure import receive, workflow

    @workflow
    async def waits(how: str = "well") -> None:
        while how == "spins":
            pass
        if how == "dies":
            import os
            os._exit(9)
        await receive("word")
"""
WAITING = History(
    "run-1", "waits", RunState.WAITING, 0, b"{}", b"s", None, False, 0, 0, 0, (Record(1, 0, RecordKind.STARTED, "waits"),), ()
)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(dedent(APP))
    return path


def exported(folder: Path, name: str, how: str = "well") -> str:
    path = folder / f"{name}.json"
    path.write_bytes(write_export(replace(WAITING, input=f'{{"how":"{how}"}}'.encode())))
    return str(path)


def setup_of(app: Path, **more: Any) -> dict[str, Any]:
    return {"app": str(app), "store": None, "namespace": "default", "workflow": None, **more}


def found(answers: Iterator[Finding | str]) -> tuple[list[Finding], list[str]]:
    taken = list(answers)
    return [one for one in taken if isinstance(one, Finding)], [one for one in taken if isinstance(one, str)]


def test_a_replay_that_does_not_end_is_cut_off_and_named_and_the_others_are_done(app: Path, tmp_path: Path) -> None:
    files = [exported(tmp_path, name, how) for name, how in (("a", "well"), ("b", "spins"), ("c", "well"), ("d", "dies"), ("e", "well"))]
    children = Children(setup_of(app), 1, seconds_most=1.0)

    findings, begun = found(children.replay([Job("files", tuple(files))]))

    assert begun == files
    assert [(one.kind, one.where) for one in findings] == [(Kind.BREAKS, files[1]), (Kind.BREAKS, files[3])]
    assert "did not end within 1 s" in findings[0].text
    assert "ended its process (status 9)" in findings[1].text


def test_leaving_early_ends_the_processes(app: Path, tmp_path: Path) -> None:
    children = Children(setup_of(app), 2)
    answers = children.replay([Job("files", (exported(tmp_path, "a", "spins"),)), Job("files", (exported(tmp_path, "b", "spins"),))])
    next(answers)

    answers.close()

    assert all(child._process is None for child in children._children)


def test_an_app_that_a_process_cannot_load_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise RuntimeError('only in the morning')")
    with pytest.raises(Complaint, match="ended with status 1 before it began") as told:
        list(Children(setup_of(tmp_path / "app.py"), 1).replay([Job("files", ("a",))]))
    assert "only in the morning" in told.value.remedy


def test_trouble_with_the_store_is_raised_as_what_it_is(app: Path, tmp_path: Path) -> None:
    setup = setup_of(app, store=f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(StoreNotFound):
        list(Children(setup, 1).replay([Job("runs", ("run-1",))]))


def test_nothing_to_do_starts_no_process(app: Path) -> None:
    assert list(Children(setup_of(app), 0).replay([])) == []


def test_work_is_shared_in_portions_that_keep_every_process_busy() -> None:
    work = Work(run_ids=[f"run-{number}" for number in range(1000)], files=["a", "b", "c"])
    portions = list(work.portions(2))
    assert [name for one in portions for name in one.names] == [*work.files, *work.run_ids]
    assert max(len(one.names) for one in portions) == 100
    assert {len(one.names) for one in portions if one.kind == "files"} == {1}
    assert len(list(Work(run_ids=["x"] * 10).portions(2))) == 10


def test_there_are_no_more_processes_than_work_for_them() -> None:
    assert processes_for(0) == 0
    assert processes_for(1) == processes_for(300) == 1
    assert processes_for(10**6) == len(os.sched_getaffinity(0))


def test_a_file_that_is_given_twice_is_replayed_once(tmp_path: Path) -> None:
    work, path = Work(), exported(tmp_path, "a")
    list_files(work, [path, str(tmp_path), path])
    assert work.files == [path]


def test_a_history_of_another_workflow_than_the_chosen_one_is_passed_over() -> None:
    assert list(Judge({}, "3.11", only="other").judge(WAITING, "x")) == []
    assert [one.kind for one in Judge({}, "3.11").judge(WAITING, "x")] == [Kind.WORKFLOW]


def test_warnings_that_are_alike_are_counted_and_what_fails_is_named_to_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(Choices(output=Output.TABLE))
    for number in range(30):
        report.add(Finding(Kind.CHANGED, f"run-{number:02}", "changed", "flow"))
        report.add(Finding(Kind.DIVERGES, f"bad-{number:02}", "diverges\x1b[31m", "flow"))

    report.print()

    printed = capsys.readouterr()
    assert printed.out.count("changed") == 2 * 10
    assert [f"bad-{number:02}" in printed.out for number in range(30)] == [True] * 30
    assert "\x1b" not in printed.out
    assert "and 20 more warnings 'changed' of workflow flow; -o jsonl shows all" in printed.err


def test_quiet_prints_what_failed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(Choices(quiet=True))
    report.add(Finding(Kind.CHANGED, "run-1", "changed"))
    report.add(Finding(Kind.DIVERGES, "run-2", "diverges"))
    report.add(Finding(Kind.BREAKS, "run-2", "breaks"))

    report.print()

    assert capsys.readouterr() == ("run-2\n", "")
