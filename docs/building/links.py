"""Links that leave the folder of the documentation: to a file they lead to a copy of it, to a folder nowhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def unlink_folders(app: "Sphinx", tree: nodes.document) -> None:
    """MyST copies the files that a page links to; a folder of the project has no page, and its name stays as text."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(tree.findall(pending_xref)):
        if link.get("reftype") == "myst" and (here / str(link["reftarget"])).is_dir():
            link.replace_self(link.children)


def setup(app: "Sphinx") -> dict[str, Any]:
    app.connect("doctree-read", unlink_folders)
    return {"parallel_read_safe": True}
