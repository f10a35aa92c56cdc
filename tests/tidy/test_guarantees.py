"""The page of promises names tests: each of them exists."""

import re

from tests.tidy.project import ROOT

PAGE = ROOT / "docs" / "guarantees.md"


def test_every_test_that_the_page_of_promises_names_exists() -> None:
    part = ""
    missing = []
    for line in PAGE.read_text().splitlines():
        if found := re.match(r"Tests, in \[.*\]\(\.\./(.*)\):", line):
            part = (ROOT / found[1]).read_text()
        elif (found := re.match(r"- `(test_\w+)`", line)) and f"def {found[1]}(" not in part:
            missing.append(found[1])
    assert not missing


def test_every_promise_of_one_machine_stands_on_the_page() -> None:
    promises = set(re.findall(r"^## (G\d+)\.", PAGE.read_text(), re.MULTILINE))
    assert promises >= {f"G{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16)}
