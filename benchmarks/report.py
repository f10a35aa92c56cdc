"""Prints facts and figures for people."""

from collections.abc import Mapping, Sequence

from figures import Repeated

HEAD = ("figure", "measured", "lowest-highest", "target", "", "floor", "x floor", "commits", "CPU each")
CORES_WORTH_TELLING = 0.1
WIDTHS = (64, 16, 17, 10, 8, 14, 8, 9, 9)


def print_facts(facts: Mapping[str, str]) -> None:
    for name, fact in facts.items():
        print(f"{name:18} {fact}")
    print()


def print_figures(figures: Sequence[Repeated], cores_taken: float | None, *, with_head: bool) -> None:
    """`cores_taken` by other programs meanwhile; more than a little makes wall times worse than they are."""
    if with_head:
        _print_line(HEAD)
    for one in figures:
        _print_line(_cells(one))
    if cores_taken is not None and cores_taken >= CORES_WORTH_TELLING:
        print(f"    meanwhile other programs kept {cores_taken:.1f} cores busy", flush=True)


def _cells(one: Repeated) -> Sequence[str]:
    figure = one.figure
    target = f">= {_shown(figure.at_least)}" if figure.at_least is not None else f"<= {_shown(figure.at_most)}"
    return (
        figure.name,
        f"{_shown(figure.value)} {figure.unit}",
        f"{_shown(one.lowest)}-{_shown(one.highest)}",
        "" if figure.is_met is None else target,
        {True: "met", False: "NOT MET", None: ""}[figure.is_met],
        "" if figure.floor is None else f"{_shown(figure.floor)} {figure.unit}",
        _shown(figure.times_floor),
        _shown(figure.commits),
        "" if figure.cpu_microseconds is None else f"{_shown(figure.cpu_microseconds)} us",
    )


def _print_line(cells: Sequence[str]) -> None:
    first, *rest = zip(cells, WIDTHS, strict=True)
    print(f"{first[0]:{first[1]}}" + "".join(f" {cell:>{width}}" for cell, width in rest), flush=True)


def _shown(number: float | None) -> str:
    if number is None:
        return ""
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
