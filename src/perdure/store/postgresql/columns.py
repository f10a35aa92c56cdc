"""Rows as the columns that `unnest` is given: one array for each."""

from collections.abc import Iterable, Sequence
from typing import Any

from perdure.store.rows import Row


def columns(rows: Iterable[Row], width: int) -> Sequence[Sequence[Any]]:
    return list(zip(*rows, strict=True)) or [()] * width
