"""Type hints as users write them, and values that fit them."""

import enum
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypedDict, TypeVar
from uuid import UUID

from hypothesis import strategies as some
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel, Field, computed_field

T = TypeVar("T")
LIMIT = 1024 * 1024


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 10


class Mode(enum.StrEnum):
    FAST = "fast"
    SAFE = "safe"


@dataclass
class Line:
    product: str
    quantity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@dataclass
class Order:
    id: UUID
    lines: list[Line]
    at: datetime
    tags: set[str] = field(default_factory=set)
    note: str | None = None
    picture: bytes = b""
    where: Point | None = None


@dataclass
class Tree:
    value: int
    children: "list[Tree]" = field(default_factory=list)


@dataclass
class Box(Generic[T]):
    content: T


@dataclass(eq=False)
class Incomparable:
    number: int
    text: str


class Customer(BaseModel):
    name: str
    born: date | None = None
    key: bytes = b""
    score: float | None = None
    groups: frozenset[str] = frozenset()


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")
    net: Decimal = Field(validation_alias="nett", serialization_alias="netto")

    @computed_field
    @property
    def initial(self) -> str:
        return self.first_name[:1]


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Transfer(BaseModel):
    kind: Literal["transfer"] = "transfer"
    iban: str


class Address(TypedDict):
    street: str
    floor: int


class Options(TypedDict, total=False):
    retries: int
    labels: set[str]


class Pair(NamedTuple):
    left: int
    right: str = ""


text = some.text(some.characters(exclude_categories=["Cs"]), max_size=8)
floats = some.floats(allow_nan=False)
decimals = some.decimals(allow_nan=False, allow_infinity=False)
offsets = some.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(lambda d: timezone(timedelta(minutes=d // timedelta(minutes=1))))
moments = some.datetimes(timezones=some.none() | some.just(UTC) | offsets)
lines = some.builds(Line, product=text, quantity=some.integers(), price=decimals)
points = some.builds(Point, x=floats, y=floats)
orders = some.builds(
    Order,
    id=some.uuids(),
    lines=some.lists(lines, max_size=3),
    at=moments,
    tags=some.sets(text, max_size=4),
    note=some.none() | text,
    picture=some.binary(max_size=9),
    where=some.none() | points,
)
trees: SearchStrategy[Tree] = some.recursive(
    some.builds(Tree, value=some.integers(), children=some.just([])),
    lambda below: some.builds(Tree, value=some.integers(), children=some.lists(below, max_size=3)),
    max_leaves=8,
)
customers = some.builds(
    Customer,
    name=text,
    born=some.none() | some.dates(),
    key=some.binary(max_size=9),
    score=some.none() | floats,
    groups=some.frozensets(text, max_size=4),
)
aliased = some.builds(lambda name, net: Aliased(firstName=name, nett=net), name=text, net=decimals)
json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | text,
    lambda below: some.lists(below, max_size=4) | some.dictionaries(text, below, max_size=4),
    max_leaves=10,
)

SIMPLE: list[tuple[Any, SearchStrategy[Any]]] = [
    (int, some.integers()),
    (int, some.integers(min_value=-(10**4000), max_value=10**4000)),
    (str, text),
    (bool, some.booleans()),
    (None, some.none()),
    (float, floats),
    (bytes, some.binary(max_size=20)),
    (Decimal, decimals),
    (datetime, moments),
    (date, some.dates()),
    (time, some.times()),
    (timedelta, some.timedeltas()),
    (UUID, some.uuids()),
    (complex, some.complex_numbers(allow_nan=False, allow_infinity=False)),
    (PurePosixPath, some.just(PurePosixPath("/var/data"))),
    (Colour, some.sampled_from(Colour)),
    (Size, some.sampled_from(Size)),
    (Mode, some.sampled_from(Mode)),
    (Literal["a", 1], some.sampled_from(["a", 1])),
    (Annotated[int, Field(gt=0)], some.integers(min_value=1)),
    (Point, points),
    (Line, lines),
    (Order, orders),
    (Tree, trees),
    (Customer, customers),
    (Aliased, aliased),
    (Annotated[Card | Transfer, Field(discriminator="kind")], some.builds(Card, number=text) | some.builds(Transfer, iban=text)),
    (Address, some.fixed_dictionaries({"street": text, "floor": some.integers()})),
    (Options, some.fixed_dictionaries({}, optional={"retries": some.integers(), "labels": some.sets(text, max_size=3)})),
    (Pair, some.builds(Pair, some.integers(), text)),
    (Any, json_values),
    (dict, some.dictionaries(text, json_values, max_size=4)),
    (dict[str, Any], some.dictionaries(text, json_values, max_size=4)),
]

HASHABLE = [int, str, bytes, Decimal, date, timedelta, UUID, Colour, Size, Mode, Point, Pair]
KEYS = [int, str, bytes, date, datetime, timedelta, UUID, Mode]


def value_of(hint: Any) -> SearchStrategy[Any]:
    return next(values for known, values in SIMPLE if known is hint)


def containers(inner: tuple[Any, SearchStrategy[Any]]) -> SearchStrategy[tuple[Any, SearchStrategy[Any]]]:
    hint, values = inner
    within: list[tuple[Any, SearchStrategy[Any]]] = [
        (list[hint], some.lists(values, max_size=3)),
        (tuple[hint, ...], some.lists(values, max_size=3).map(tuple)),
        (tuple[hint, int], some.tuples(values, some.integers())),
        (deque[hint], some.lists(values, max_size=3).map(deque)),
        (dict[str, hint], some.dictionaries(text, values, max_size=3)),
        (Optional[hint], some.none() | values),  # noqa: UP045 - a union of None with None is refused by the operator
        (Box[hint], some.builds(Box, values)),
        *((dict[key, hint], some.dictionaries(value_of(key), values, max_size=3)) for key in KEYS),
    ]
    if hint in HASHABLE:
        within += [(set[hint], some.sets(values, max_size=4)), (frozenset[hint], some.frozensets(values, max_size=4))]
    return some.sampled_from(within)


hints_with_values = some.recursive(some.sampled_from(SIMPLE), lambda below: below.flatmap(containers), max_leaves=3)
typed_values = hints_with_values.flatmap(lambda known: some.tuples(some.just(known[0]), known[1]))
