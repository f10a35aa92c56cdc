"""Functions whose hints are all text, as `from __future__ import annotations` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import pytest
from pydantic import BaseModel, Field

from perdure.codec.parameters import Parameters, ReturnType
from perdure.errors import BadInput, EncodeError
from tests.unit.codec.samples import LIMIT, Point

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Shelf:
    points: list[Point]
    above: Shelf | None = None


async def store(shelf: Shelf, level: Annotated[int, Field(ge=0)] = 0) -> Shelf: ...
async def pay(amount: Decimal, shelf: Shelf) -> None: ...


SHELF = Shelf([Point(1, 2)], Shelf([]))


def test_they_are_resolved_from_the_module() -> None:
    parameters, returns = Parameters(store, "step store"), ReturnType(store, "step store")
    assert parameters.decode(parameters.encode((SHELF,), {"level": 2}, limit=LIMIT)) == ((), {"shelf": SHELF, "level": 2})
    assert returns.decode(returns.encode(SHELF, limit=LIMIT)) == SHELF
    with pytest.raises(BadInput, match=r"level does not fit: Input should be greater than or equal to 0"):
        parameters.encode((SHELF, -1), {}, limit=LIMIT)


def test_they_are_resolved_from_the_function_around() -> None:
    @dataclass
    class Inner:
        shelf: Shelf

    class Outer(BaseModel):
        inner: Inner

    @dataclass
    class Row:
        inner: Inner

    async def keep(outer: Outer, rows: list[Row]) -> Inner: ...

    inner = Inner(SHELF)
    parameters, returns = Parameters(keep, "step keep"), ReturnType(keep, "step keep")
    call = {"outer": Outer(inner=inner), "rows": [Row(inner)]}
    assert parameters.decode(parameters.encode((), call, limit=LIMIT)) == ((), call)
    assert returns.decode(returns.encode(inner, limit=LIMIT)) == inner


def test_one_that_is_imported_for_the_type_checker_only_does_not_spoil_the_others() -> None:
    from decimal import Decimal as Imported

    parameters = Parameters(pay, "step pay")
    assert parameters.decode(parameters.encode((5, SHELF), {}, limit=LIMIT)) == ((), {"amount": 5, "shelf": SHELF})
    with pytest.raises(EncodeError, match=r"amount is Decimal\('1.1'\).*'Decimal' is not defined.*import it at run time"):
        parameters.encode((Imported("1.1"), SHELF), {}, limit=LIMIT)
