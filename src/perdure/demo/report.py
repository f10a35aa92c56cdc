"""The last screen: what was promised, what was found, and what the kills cost."""

from collections.abc import Iterable

from perdure.demo.findings import Check, Findings
from perdure.demo.screen import Screen

_EXAMPLES_MOST = 5


def show_report(screen: Screen, findings: Findings) -> None:
    screen.write()
    for line in (*_checks(screen, findings), "", *_losses(findings), "", *_on_the_way(findings)):
        screen.write(line)


def _checks(screen: Screen, findings: Findings) -> Iterable[str]:
    width = max(len(check.promise) for check in findings.checks)
    yield screen.styled(f"{'From the ledgers and the histories':{width}}  expected  found", "bold")
    for check in findings.checks:
        mark = screen.styled("ok", "green") if check.holds else screen.styled("BROKEN", "red")
        yield f"{check.promise:{width}}  {check.expected:8}  {check.found:5}  {mark}{_examples(check)}"


def _examples(check: Check) -> str:
    if check.holds or not check.examples:
        return ""
    more = len(check.examples) - _EXAMPLES_MOST
    return f": {', '.join(check.examples[:_EXAMPLES_MOST])}{f' and {more} more' if more > 0 else ''}"


def _losses(findings: Findings) -> Iterable[str]:
    yield "kill  unfinished runs owned  steps cut off  next record after"
    for number, loss in enumerate(findings.losses, 1):
        after = "-" if loss.seconds is None else f"{loss.seconds:.2f} s"
        yield f"{number:4}  {loss.owned:21}  {loss.cut_off:13}  {after:>17}"
    total = sum(loss.seconds or 0 for loss in findings.losses)
    yield f"{'':4}  {'':21}  {'time lost in all':>13}  {f'{total:.2f} s':>14}"


def _on_the_way(findings: Findings) -> Iterable[str]:
    yield f"{findings.calls:4}  calls to the order system, {findings.busy} of them answered with 503 and tried again"
    yield f"{findings.asked_again:4}  calls for an order booked already: by its key the same one came back"
    yield f"{findings.bodies:4}  step bodies begun for {findings.recorded} recorded results: the others were cut off or met a 503"
