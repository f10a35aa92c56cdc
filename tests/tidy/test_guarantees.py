"""The page of promises cannot fall behind its tests: each promise names tests that exist, and every test of a promise is named."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.tidy.named_tests import missing_tests, names_in
from tests.tidy.project import ROOT

PAGE = "docs/guarantees.md"
ON_ONE_MACHINE = [f"G{number}" for number in (*range(1, 17), 20)]
NOT_PROMISED = "What is not promised"


@dataclass(frozen=True, slots=True)
class Promise:
    """One section of the page: `files` it links to, and the tests that it lists for the first of them."""

    id: str
    words: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def promises(text: str) -> Iterator[Promise]:
    for title, body in sections(text).items():
        if found := re.match(r"G\d+", title):
            files = tuple(link.removeprefix("../") for link in re.findall(r"\]\(([^)]+)\)", body))
            yield Promise(found[0], body.strip().split("\n")[0], files, tuple(re.findall(r"^- `(\w+)`$", body, re.MULTILINE)))


PROMISES = {promise.id: promise for promise in promises((ROOT / PAGE).read_text())}
every_promise = pytest.mark.parametrize("promise", PROMISES.values(), ids=lambda promise: promise.id)


def test_every_promise_of_one_machine_is_on_the_page() -> None:
    assert list(PROMISES) == ON_ONE_MACHINE


@every_promise
def test_a_promise_has_words_and_a_test(promise: Promise) -> None:
    assert promise.words.endswith(".")
    assert [file for file in promise.files if file.startswith("tests/")]
    assert promise.tests


@every_promise
def test_every_test_that_a_promise_names_exists(promise: Promise) -> None:
    assert not missing_tests(f"{promise.files[0]}::{test}" for test in promise.tests)


@every_promise
def test_every_test_of_a_promise_is_named(promise: Promise) -> None:
    assert sorted(promise.tests) == sorted(names_in(promise.files[0]))


def test_the_page_says_what_is_not_promised() -> None:
    said = sections((ROOT / PAGE).read_text())[NOT_PROMISED]
    assert len(re.findall(r"^- \*\*", said, re.MULTILINE)) >= 5


SAMPLE = """# Page
## G1. First

The words.

Tests, in [test_a.py](../tests/acceptance/test_a.py):

- `test_one`
- `test_two`

## What is not promised

- **Much.**
"""


def test_a_promise_is_read_from_the_page() -> None:
    assert list(promises(SAMPLE)) == [Promise("G1", "The words.", ("tests/acceptance/test_a.py",), ("test_one", "test_two"))]


def test_a_test_that_does_not_exist_is_noticed() -> None:
    gone = "tests/acceptance/test_g01_acknowledged_is_durable.py::test_nobody_has_written"
    assert missing_tests([gone, "tests/nowhere.py", "tests/tidy/test_guarantees.py::test_a_promise_is_read_from_the_page[case]"]) == sorted(
        [gone, "tests/nowhere.py"]
    )
