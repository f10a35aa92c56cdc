"""The planted bugs cannot rot: what each replaces stands exactly once in the source, and its tests exist."""

from collections import Counter

import pytest

from tests.mutants.mutants import MUTANTS
from tests.mutants.planting import Mutant, places_of
from tests.tidy.named_tests import missing_tests

BUGS_LEAST = 20


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    names = Counter(mutant.name for mutant in MUTANTS)
    assert len(names) >= BUGS_LEAST
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_planted_bug_replaces_text_that_stands_exactly_once_and_changes_it(mutant: Mutant) -> None:
    wrong = {f"{edit.file}: {edit.old}": places_of(edit) for edit in mutant.edits if places_of(edit) != 1}
    assert not wrong
    assert all(edit.old != edit.new for edit in mutant.edits)
    assert mutant.edits


def test_every_test_that_is_to_catch_a_bug_exists() -> None:
    assert not missing_tests(test for mutant in MUTANTS for test in mutant.tests)
