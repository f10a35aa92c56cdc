"""Reads the code of workflows and names what a replay would not repeat, with its line and what to use instead.

Only text is read: modules are those that are loaded, and nothing of them is called. From the workflows it goes into every function of
the user's that they call, in whatever module, but not into steps, which may do anything. What it cannot know (an object of unknown
class, a name chosen at run time) it does not report: the worker refuses I/O and threads in workflow code anyway.
"""

from collections.abc import Iterable

from perdure.authoring.lint.reading import CodeFinding, Reading
from perdure.authoring.workflow import Workflow

__all__ = ["CodeFinding", "lint"]


def lint(workflows: "Iterable[Workflow[..., object]]") -> list[CodeFinding]:
    """By file and line. A line with `# perdure: allow REASON`, or one below such a comment, may do what it does; so may all of a function
    whose `def` has it."""
    reading = Reading()
    for workflow in workflows:
        reading.read(workflow)
    return sorted(reading.findings.values(), key=lambda one: (one.path, one.line, one.column))
