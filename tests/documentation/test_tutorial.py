"""The tutorial is true: its files are written, its commands typed, and what it shows comes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documentation.terminal import Terminal, missing
from tests.tidy.markdown import FENCE

PAGES = sorted(Path(__file__).resolve().parents[2].joinpath("docs", "tutorial").glob("[0-9]-*.md"))
TYPED_BY_READERS_ONLY = "pip install ../perdure pytest"  # tests/packaging does that

ASKED_AGAIN = ("sh", "run", "again")
"""Commands that only look: a reader is slower than the worker, a test repeats them until they show what the page says."""

PAUSE = re.compile(r"^sleep \d+$", re.MULTILINE)
"""A reader sees what is shown and then waits; a busy machine would need longer than the page says until it is shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """One block of a page: what it is for, and what stands in it."""

    place: str
    words: tuple[str, ...]
    text: str


def parts(page: Path) -> Iterator[Part]:
    text = page.read_text()
    for fence in FENCE.finditer(text):
        yield Part(f"{page.name}:{text.count(chr(10), 0, fence.start()) + 1}", tuple(fence["language"].split()), fence["code"])


ALL = [part for page in PAGES for part in parts(page)]


def test_every_block_of_the_tutorial_is_a_file_a_command_or_what_is_shown() -> None:
    unclear = [part.place for part in ALL if TYPED_BY_READERS_ONLY not in part.text and not is_clear(part)]
    assert len(PAGES) == 7
    assert not unclear


def is_clear(part: Part) -> bool:
    return part.words in {("sh", "run"), ASKED_AGAIN, ("text", "shows"), ("text", "shows", "only")} or (
        part.words[0] == "python" and part.words[1].startswith("file=")
    )


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with Terminal(tmp_path) as opened:
        yield opened


@pytest.mark.timeout(400)  # many processes, each of which a busy machine may start slowly
def test_a_reader_who_follows_the_tutorial_sees_what_it_shows(terminal: Terminal, tmp_path: Path) -> None:
    for before, part, after in zip([None, *ALL], ALL, [*ALL[1:], None], strict=False):
        match part.words:
            case ("python", name):
                (tmp_path / name.removeprefix("file=")).write_text(part.text)
            case ("sh", "run") if (pause := PAUSE.search(part.text)) is not None and after is not None:
                terminal.run(part.text[: pause.start()])
                terminal.read_until(lambda shown, wanted=after.text: not missing(wanted, shown))
                terminal.run(part.text[pause.start() :], forgets=False)
            case ("sh", "run", *_):
                terminal.run(part.text)
            case ("text", "shows") if before.words == ASKED_AGAIN:
                terminal.repeat_until(before.text, lambda shown, wanted=part.text: not missing(wanted, shown))
                assert not missing(part.text, terminal.shown), f"{part.place}: shown was\n{terminal.shown}"
            case ("text", "shows", *only):
                terminal.read_until(lambda shown, wanted=part.text: not missing(wanted, shown))
                assert not missing(part.text, terminal.shown), f"{part.place}: shown was\n{terminal.shown}"
                assert not only or len(terminal.lines) == len(part.text.splitlines()), f"{part.place}: shown was\n{terminal.shown}"


def test_what_is_missing_on_the_screen_is_told() -> None:
    shown = "status     waiting\nnote  waits for   49 euros\n"

    assert missing("status … waiting\nnote … 49 euros", shown) == []
    assert missing("note … 49 euros\nstatus … waiting", shown) == ["status … waiting"]
    assert missing("status … running", shown) == ["status … running"]
