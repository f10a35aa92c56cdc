"""Ids sort by the time they were made at and cannot be guessed."""

import os
import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from perdure.clock import to_instant
from perdure.ids import PAGE_BYTES, OsEntropy, new_id
from tests.unit.test_clock import LAST


class Given:
    """Entropy that is handed in."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.parts = parts

    def bytes(self, count: int) -> bytes:
        return next(self.parts).ljust(count, b"\0")[:count]


instants = st.integers(0, to_instant(LAST))
randoms = st.binary(min_size=10, max_size=10)


@given(instants, randoms)
def test_an_id_is_26_characters_that_need_no_quoting(now: int, random: bytes) -> None:
    assert re.fullmatch("[0-9a-hjkmnp-z]{26}", new_id(now, Given(iter([random]))))


@given(instants, instants, randoms, randoms)
def test_ids_sort_by_their_millisecond(one: int, other: int, first: bytes, second: bytes) -> None:
    if one // 1000 < other // 1000:
        assert new_id(one, Given(iter([first]))) < new_id(other, Given(iter([second])))


@given(instants, randoms, randoms)
def test_ids_of_one_millisecond_differ_by_all_their_randomness(now: int, first: bytes, second: bytes) -> None:
    one, other = new_id(now, Given(iter([first]))), new_id(now, Given(iter([second])))
    assert (one == other) == (first == second)
    assert one[:9] == other[:9]


def test_the_operating_system_gives_other_bytes_each_time() -> None:
    entropy = OsEntropy()
    assert len({new_id(0, entropy) for _ in range(1000)}) == 1000
    assert len(entropy.bytes(16)) == 16


def test_more_bytes_than_a_page_are_given_whole() -> None:
    assert len(OsEntropy().bytes(5 * PAGE_BYTES)) == 5 * PAGE_BYTES


def test_a_forked_child_does_not_hand_out_the_bytes_of_its_parent() -> None:
    entropy = OsEntropy()
    entropy.bytes(16)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, entropy.bytes(16))
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reading, 16) != entropy.bytes(16)
    os.close(reading)
    os.close(writing)
