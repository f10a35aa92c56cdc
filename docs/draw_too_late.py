"""Draws docs/too-late.svg, a worker that stood still beyond its lease: `python docs/draw_too_late.py`."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

PICTURE = Path(__file__).with_name("too-late.svg")
WIDTH, HEIGHT = 860, 280
LANES = {"worker 1": 40, "worker 2": 110, "the store": 200}
LANE_BEGIN, LANE_END = 110, 840
INK, SOFT, GREEN, RED = "#1f2933", "#52606d", "#2b8a3e", "#c1121f"
BUSY, LIGHT = "#9ec5fe", "#dee2e6"


def drawn() -> str:
    """The whole picture."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" role="img" '
        'aria-labelledby="title">',
        '<title id="title">A worker stands still beyond its lease. Another one marks it dead and takes over its run. '
        "When the first comes back, its checkpoint is refused.</title>",
        "<defs>",
        marker("good", GREEN),
        marker("bad", RED),
        "</defs>",
        f'<rect x="0" y="0" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#ffffff"/>',
        *(text(20, y + 5, name, 13, anchor="start", weight="bold") for name, y in LANES.items()),
        f'<line x1="{LANE_BEGIN}" y1="200" x2="{LANE_END}" y2="200" stroke="{GREEN}" stroke-width="1.5"/>',
        *first_worker(),
        *second_worker(),
        text(WIDTH / 2, 268, "Marking a worker dead and writing a checkpoint change the same row: one of the two comes first.", 13, SOFT),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def first_worker() -> Iterator[str]:
    yield from work(LANES["worker 1"], 120, 110, "reserve")
    yield from record(LANES["worker 1"], 232, "reserve", "checkpoint 7")
    yield from wait(LANES["worker 1"], 240, 400, "stands still for a minute")
    yield from work(LANES["worker 1"], 646, 70, "ship")
    yield f'<path d="M720 54 V184" stroke="{RED}" stroke-width="1.5" fill="none" marker-end="url(#bad)"/>'
    yield text(728, 164, "checkpoint 8 refused", 11, RED, anchor="start")


def second_worker() -> Iterator[str]:
    yield from record(LANES["worker 2"], 400, "worker 1 is dead", "its lease is over")
    yield from work(LANES["worker 2"], 410, 60, "replay", LIGHT)
    yield from work(LANES["worker 2"], 474, 80, "ship")
    yield from record(LANES["worker 2"], 558, "ship", "")


def work(y: int, x: int, width: int, name: str, fill: str = BUSY) -> Iterator[str]:
    yield f'<rect x="{x}" y="{y - 13}" width="{width}" height="26" rx="4" fill="{fill}"/>'
    yield text(x + width / 2, y + 5, name, 12)


def wait(y: int, x: int, width: int, why: str) -> Iterator[str]:
    yield f'<rect x="{x}" y="{y - 13}" width="{width}" height="26" rx="4" fill="none" stroke="#adb5bd" stroke-dasharray="5 4"/>'
    yield text(x + width / 2, y + 5, why, 12, SOFT)


def record(y: int, x: int, what: str, note: str) -> Iterator[str]:
    yield f'<line x1="{x}" y1="{y + 15}" x2="{x}" y2="190" stroke="{GREEN}" stroke-width="1.5" marker-end="url(#good)"/>'
    yield f'<circle cx="{x}" cy="200" r="7" fill="{GREEN}"/>'
    yield text(x, 224, what, 11)
    yield text(x, 239, note, 11, SOFT)


def marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
    )


def text(x: float, y: float, words: str, size: int, colour: str = INK, anchor: str = "middle", weight: str = "normal") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{escape(words)}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
