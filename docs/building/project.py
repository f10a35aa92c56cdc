"""Pages of the project that stand outside the folder of the documentation, and links between the two."""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md", "examples/README.md": "examples.md"}
"""Where in the documentation each of them is."""

LINK = re.compile(r"\]\((?![a-z]+:|#)(?P<path>[^)#\s]+)")


def page(name: str) -> str:
    """The text of such a page; its links lead to where they led."""
    return moved((ROOT / name).read_text(), name, "docs/index.md")


def moved(text: str, written_in: str, shown_in: str) -> str:
    """The same text with its links as another file of the project has to write them."""

    def written_anew(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(written_in), link["path"]))
        target = posixpath.join("docs", PAGES[target]) if target in PAGES else target
        return f"]({posixpath.relpath(target, posixpath.dirname(shown_in))}"

    return LINK.sub(written_anew, text)
