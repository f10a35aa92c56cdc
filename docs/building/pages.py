"""What a page leaves to be filled in: a line `<!-- reference: perdure.Client: start run -->` becomes what the source says of it."""

import re
from typing import TYPE_CHECKING, Any

from building import commands, project, reference, settings

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GAP = re.compile(r"^<!-- (?P<kind>[a-z ]+)(?:: (?P<name>[\w./]+)(?:: (?P<members>[\w ]+))?)? -->$", re.MULTILINE)
KINDS = {
    "reference": reference.described,
    "page": lambda name, _members: project.page(name),
    "errors": lambda _name, _members: reference.errors(),
    "settings": lambda name, _members: settings.table(name),
    "commands": lambda _name, _members: commands.commands(),
    "common options": lambda _name, _members: commands.common(),
    "exit codes": lambda _name, _members: commands.exit_codes(),
}


def filled(text: str) -> str:
    return GAP.sub(lambda gap: KINDS[gap["kind"]](gap["name"], (gap["members"] or "").split()), text)


def fill_in(app: "Sphinx", page: str, source: list[str]) -> None:  # noqa: ARG001 - the signature is given by Sphinx
    place = f"docs/{page}.md"
    source[0] = filled(project.moved(source[0], place, place))


def setup(app: "Sphinx") -> dict[str, Any]:
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True}
