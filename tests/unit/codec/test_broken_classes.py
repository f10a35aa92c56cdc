"""Values whose own methods raise: they are refused by name like any other that cannot be stored."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest

from perdure.codec.natural import natural
from perdure.codec.parameters import ReturnType
from perdure.codec.refusal import Refusal
from perdure.codec.values import encode
from perdure.errors import EncodeError


@dataclass
class Receipt:
    id: int
    total: int = field(init=False)  # forgotten by whoever makes one


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


class Listing(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise Broken

    def __iter__(self) -> Iterator[str]:
        yield "order"

    def __len__(self) -> int:
        return 1


class Numbers(list[int]):
    def __iter__(self) -> Iterator[int]:
        raise Broken


class Late(Enum):
    ONE = 1

    @property
    def value(self) -> int:
        raise Broken


class Flag(int):
    def __int__(self) -> int:
        raise Broken


class Unclassed:
    @property
    def __class__(self) -> Any:
        raise Broken


VALUES: dict[str, Callable[[], object]] = {
    "dataclass": lambda: Receipt(1),
    "mapping": Listing,
    "list": Numbers,
    "enum": lambda: Late.ONE,
    "number": lambda: Flag(2),
    "object": Unclassed,
    "within a list": lambda: [Receipt(1)],
    "within a dict": lambda: {"receipt": Receipt(1)},
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_raises_when_it_is_looked_at_has_no_natural_form(kind: str) -> None:
    with pytest.raises(Refusal):
        natural(VALUES[kind]())


@pytest.mark.parametrize("hint", [Any, Receipt, list[Receipt], dict[str, Any], Mapping[str, int], object, int | str])
@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_raises_when_it_is_looked_at_is_stored_or_refused(kind: str, hint: Any) -> None:
    with suppress(EncodeError):
        assert isinstance(encode(VALUES[kind](), hint, what="result of step charge", limit=1000), bytes)


def test_a_field_that_was_never_set_is_named() -> None:
    def finish() -> Receipt:
        raise NotImplementedError

    with pytest.raises(EncodeError, match="result of finish.*total"):
        ReturnType(finish, "finish").encode(Receipt(1), limit=1000)
