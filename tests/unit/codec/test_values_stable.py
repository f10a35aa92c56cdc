"""Equal values become equal bytes, in every process: digests and the hash of a start rest on it."""

import json
import os
import subprocess
import sys
from random import Random

from hypothesis import given
from hypothesis import strategies as some

from perdure.codec.values import canonical, digest, encode
from tests.unit.codec.samples import LIMIT, json_values, text

IN_ANOTHER_PROCESS = """
import sys
from dataclasses import dataclass, field
from typing import Any, Sequence
from perdure.codec.parameters import Parameters
from perdure.codec.values import encode

words = ["delta", "alpha", "charlie", "bravo", "echo", "foxtrot"]

@dataclass(frozen=True)
class Tag:
    name: str

@dataclass
class Order:
    tags: set[str]
    any: Any
    deep: dict[str, list[frozenset[str]]] = field(default_factory=dict)

order = Order(set(words), {"x": (set(words), [frozenset(words)])}, {"a": [frozenset(words), frozenset(words[:2])]})
both = {frozenset(words), frozenset(words[2:])}
def step(order: Order, loose, *more: set[str], **others: Any): ...
values = [
    (set(words), set[str]), (set(words), Any), (both, set[frozenset[str]]), (both, Any), (order, Order), ([order], list), (order, Any),
    ({Tag(word) for word in words}, set[Tag]), ({Tag(word) for word in words}, Any), ([set(words)], Sequence[set[str]]),
    ({(1, "a"), (1, 2), (2, None), ("a", 1.5)}, Any), ({1, "1", 2.5, None, b"x"}, Any), (set(words) | {None}, set[str | None]),
]
parts = [encode(value, hint, what="value", limit=10**6) for value, hint in values]
parts.append(Parameters(step, "step s").encode((order, set(words), set(words)), {"z": set(words), "a": both}, limit=10**6))
sys.stdout.buffer.write(b"\\n".join(parts))
"""


def bytes_with_hash_seed(seed: str) -> bytes:
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], env=environment, check=True, capture_output=True).stdout


def test_sets_become_the_same_bytes_in_every_process() -> None:
    first, *others = (bytes_with_hash_seed(seed) for seed in ("0", "1", "2"))
    assert first.count(b"\n") == 13
    assert others == [first, first]


@given(some.dictionaries(text, json_values, max_size=5), some.randoms())
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(entries: dict[str, object], random: Random) -> None:
    keys = list(entries)
    random.shuffle(keys)
    one = encode(entries, dict, what="value", limit=LIMIT)
    other = encode({key: entries[key] for key in keys}, dict, what="value", limit=LIMIT)
    assert canonical(one) == canonical(other)
    assert json.loads(canonical(one)) == entries


def test_the_canonical_form_does_not_depend_on_spaces() -> None:
    assert canonical(b' { "b" : [1, 2.50] ,\n"a":"\\u00e4\\u0000" } ') == canonical('{"a":"ä\\u0000","b":[1,2.5]}'.encode())


def test_the_given_order_of_a_dict_is_kept() -> None:
    assert encode({"b": 1, "a": 2}, dict[str, int], what="value", limit=LIMIT) == b'{"b":1,"a":2}'


@given(some.binary(max_size=50), some.binary(max_size=50))
def test_a_digest_is_short_and_tells_payloads_apart(one: bytes, other: bytes) -> None:
    assert len(digest(one)) == 12
    assert (digest(one) == digest(other)) == (one == other)


def test_a_digest_stays_what_it_was() -> None:
    assert digest(b'{"order":1}').hex() == "60c9af9832e4a547e18b314b"
