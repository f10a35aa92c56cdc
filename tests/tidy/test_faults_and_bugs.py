"""The page of faults and bugs cannot fall behind: each row names tests that exist, and no row that concerns one machine is missing."""

import re

import pytest

from tests.tidy.named_tests import missing_tests
from tests.tidy.project import ROOT

PAGE = (ROOT / "docs/faults-and-bugs.md").read_text()
TEST = re.compile(r"`([\w/]+\.py(?:::test_\w+)?)`")
FAULTS = [f"F{number:02}" for number in (6, 8, 9, 20, 38, 39, *range(54, 65))]
ELSEWHERE = {22, 23, 31, 32, 35, 36, 65, 67, 70, 77}
BUGS = [f"B{number}" for number in (*range(21, 41), 54, 55, *range(63, 80)) if number not in ELSEWHERE]


def rows(page: str) -> dict[str, list[str]]:
    """The tests that each numbered row names."""
    return {row[1]: TEST.findall(row[2]) for row in re.finditer(r"^\| ([FB]\d+) \|(.*)$", page, re.MULTILINE)}


ROWS = rows(PAGE)


def test_each_fault_and_bug_of_one_machine_has_one_row_in_order() -> None:
    assert re.findall(r"^\| ([FB]\d+) \|", PAGE, re.MULTILINE) == FAULTS + BUGS


@pytest.mark.parametrize("number", ROWS)
def test_a_row_names_tests_that_exist(number: str) -> None:
    assert ROWS[number]
    assert missing_tests(f"tests/{one}" for one in ROWS[number]) == []


def test_a_row_is_read_with_all_its_tests() -> None:
    assert rows("| F01 | it dies | `a/test_b.py::test_c`, `a/test_d.py` |\n") == {"F01": ["a/test_b.py::test_c", "a/test_d.py"]}


def test_what_is_said_of_a_cluster_names_tests_that_exist() -> None:
    named = TEST.findall(PAGE.partition("## Faults of a cluster")[2].partition("\n## ")[0])

    assert len(named) > len(FAULTS) / 2
    assert missing_tests(f"tests/{one}" for one in named) == []
