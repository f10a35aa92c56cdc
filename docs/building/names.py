"""Where a text names something of the reference, it leads there."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from docutils import nodes

import perdure
from perdure import errors, logging, testing

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ORDINARY = {"errors", "info", "now", "random", "step", "workflow", "uuid4", "engine", "replay"}
"""Names that are words of other meanings, too: they lead somewhere only as `name()` or `@name`."""

CODE = re.compile(r"(?P<name>@?[A-Za-z][\w.]*)(?P<call>\(\))?")
CLASS = re.compile(r"(?<![\w.`])[A-Z][a-z]+[A-Z]\w+(?![\w`])")

DUNDER = re.compile(r"(?<![\w.`])__\w+__(?![\w`])")


@cache
def known() -> dict[str, str]:
    """What texts call a thing, and its full name."""
    places = {name: f"perdure.{name}" for name in perdure.__all__ if name != "errors"}
    places |= {name: f"perdure.testing.{name}" for name in testing.__all__}
    places |= {name: f"perdure.errors.{name}" for name in error_names()}
    places |= {name: f"perdure.logging.{name}" for name in logging.__all__}
    places |= {full.removeprefix("perdure."): full for full in places.values()} | {full: full for full in places.values()}
    return places


def error_names() -> list[str]:
    """In the order in which they stand in the module."""
    return [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.PerdureError)]


def place_of(code: str) -> str | None:
    """The full name of what a piece of code in a text is about; None if it is nothing of the reference."""
    match = CODE.fullmatch(code)
    if match is None:
        return None
    name = match["name"]
    if name.startswith("@") or match["call"]:
        return known().get(name.removeprefix("@"))
    return None if name in ORDINARY else known().get(name)


def linked(docstring: str) -> str:
    """A docstring as Markdown: what stands in it as plain words, but is the name of a class, leads to that; `__name__` is no emphasis."""
    return "\n".join(
        line if line.startswith("    ") else DUNDER.sub(r"`\g<0>`", CLASS.sub(_as_code, line)) for line in docstring.splitlines()
    )


def _as_code(found: re.Match[str]) -> str:
    return f"`{found[0]}`" if found[0] in known() else found[0]


def lead_to_the_reference(app: "Sphinx", tree: nodes.document) -> None:  # noqa: ARG001 - the signature is given by Sphinx
    from sphinx.addnodes import pending_xref

    for literal in list(tree.findall(nodes.literal)):
        full = place_of(literal.astext())
        if full is not None and not _is_in(literal, (nodes.title, nodes.reference, pending_xref)):
            reference = pending_xref("", literal.deepcopy(), refdomain="py", reftype="obj", reftarget=full, refexplicit=True, refwarn=True)
            literal.replace_self(reference)


def _is_in(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    """In headings, and where a link stands already, another one would be in the way."""
    above: nodes.Node | None = node.parent
    while above is not None and not isinstance(above, kinds):
        above = above.parent
    return above is not None


def setup(app: "Sphinx") -> dict[str, Any]:
    app.connect("doctree-read", lead_to_the_reference)
    return {"parallel_read_safe": True}
