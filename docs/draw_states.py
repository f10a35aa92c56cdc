"""Draws docs/states-of-a-run.svg from the one table of transitions: `python docs/draw_states.py`."""

from collections.abc import Iterator
from html import escape
from itertools import groupby, pairwise
from math import hypot
from pathlib import Path

from perdure.model.states import TRANSITIONS, RunState

PICTURE = Path(__file__).with_name("states-of-a-run.svg")
WIDTH, HEIGHT = 940, 470
BOX = (116, 36)
PLACES = {
    RunState.PENDING: (90, 90),
    RunState.RUNNING: (410, 90),
    RunState.WAITING: (410, 260),
    RunState.PAUSED: (90, 260),
    RunState.QUARANTINED: (410, 410),
    RunState.COMPLETED: (820, 90),
    RunState.FAILED: (820, 230),
    RunState.CANCELLED: (820, 370),
}
LABEL_AT = {
    (RunState.RUNNING, RunState.PAUSED): 0.32,
    (RunState.RUNNING, RunState.CANCELLED): 0.7,
    (RunState.RUNNING, RunState.FAILED): 0.6,
    (RunState.RUNNING, RunState.QUARANTINED): 0.75,
    (RunState.PAUSED, RunState.WAITING): 0.5,
}
AROUND = {
    (RunState.PENDING, RunState.CANCELLED): [(15, 90), (15, 455), (820, 455)],
    (RunState.RUNNING, RunState.QUARANTINED): [(560, 250)],
}
"""Ways that would cross other boxes go by these points."""

BESIDE = {(RunState.RUNNING, RunState.WAITING): ("end", -6), (RunState.WAITING, RunState.RUNNING): ("start", 6)}
"""Labels that stand beside their arrow, not on it."""

Point = tuple[float, float]


def drawn() -> str:
    """The whole picture."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" role="img" '
        'aria-labelledby="title">',
        '<title id="title">The states of a run, and what leads from one to another.</title>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#495057"/></marker></defs>',
        f'<rect x="0" y="0" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#ffffff"/>',
        *(line for way, words in ways() for line in arrow(*way, words)),
        *(line for state in RunState for line in box(state)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def ways() -> Iterator[tuple[tuple[RunState, RunState], list[str]]]:
    """From one state to another, and the happenings that lead there."""
    found = sorted(((source, target), happening) for (source, happening), target in TRANSITIONS.items())
    for way, group in groupby(found, key=lambda one: one[0]):
        yield way, [happening for _, happening in group]


def box(state: RunState) -> Iterator[str]:
    (x, y), (width, height) = PLACES[state], BOX
    fill = (
        "#d3f9d8" if state is RunState.COMPLETED else "#ffe3e3" if state is RunState.FAILED else "#dee2e6" if state.is_final else "#cfe2ff"
    )
    stroke = ' stroke="#1f2933" stroke-width="2"' if state.is_final else ""
    yield f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}" rx="6" fill="{fill}"{stroke}/>'
    yield text(x, y + 5, state.value, 14, "bold")


def arrow(source: RunState, target: RunState, words: list[str]) -> Iterator[str]:
    label = ", ".join(words)
    if source is target:
        yield from loop(source, label)
        return
    begin, end = PLACES[source], PLACES[target]
    if (target, source) in dict(ways()):
        begin, end = beside(begin, end), beside(end, begin, -1)
    points: list[Point] = [begin, *AROUND.get((source, target), ()), end]
    points[0], points[-1] = border(begin, points[1]), border(end, points[-2])
    path = " L".join(f"{x:.0f} {y:.0f}" for x, y in points)
    yield f'<path d="M{path}" stroke="#495057" stroke-width="1.5" fill="none" marker-end="url(#a)"/>'
    share = LABEL_AT.get((source, target), 0.5)
    (x1, y1), (x2, y2) = max(pairwise(points), key=lambda way: way[1][0] - way[0][0] if len(points) > 3 else 0)
    anchor, aside = BESIDE.get((source, target), ("middle", 0))
    yield text(x1 + (x2 - x1) * share + aside, y1 + (y2 - y1) * share - 4, label, 12, anchor=anchor)


def loop(state: RunState, label: str) -> Iterator[str]:
    x, y = PLACES[state][0] + BOX[0] / 2, PLACES[state][1]
    yield f'<path d="M{x:g} {y - 8} c 34 -14 34 30 2 16" stroke="#495057" stroke-width="1.5" fill="none" marker-end="url(#a)"/>'
    yield text(x + 34, y - 10, label, 12, anchor="start")


def beside(begin: Point, end: Point, side: int = 1) -> Point:
    """A little to the right of the straight way, so that there and back do not cover each other."""
    length = hypot(end[0] - begin[0], end[1] - begin[1])
    across = ((end[1] - begin[1]) / length, (begin[0] - end[0]) / length)
    return begin[0] - 14 * side * across[0], begin[1] - 14 * side * across[1]


def border(at: Point, towards: Point) -> Point:
    """Where the way leaves the box around a point."""
    dx, dy = towards[0] - at[0], towards[1] - at[1]
    share = min((size / 2 / abs(part) for size, part in zip(BOX, (dx, dy), strict=True) if part), default=0)
    return at[0] + dx * share, at[1] + dy * share


def text(x: float, y: float, words: str, size: int, weight: str = "normal", anchor: str = "middle") -> str:
    halo = 'paint-order="stroke" stroke="#ffffff" stroke-width="4"' if weight == "normal" else ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="#1f2933" {halo}>'
        f"{escape(words)}</text>"
    )


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
