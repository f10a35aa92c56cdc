"""What the tidy tests read in a page of documentation: links, headings, and blocks of Python."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<ticks>```+)(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=ticks)[ ]*$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\[[^\]]*\]\((?P<inline>[^)\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(?P<reference>\S+)", re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of Python. `kind`: a whole program that a test executes, a file of tests, or a file of the tutorial."""

    line: int
    code: str
    kind: str


def python_blocks(text: str) -> Iterator[Block]:
    for fence in FENCE.finditer(text):
        words = fence["language"].split()
        if words and words[0] in {"python", "py"}:
            yield Block(text.count("\n", 0, fence.start()) + 1, dedent(fence["code"]), kind_of(words[1:]))


def kind_of(words: list[str]) -> str:
    """The second word behind the fence: run, test, file=NAME or title=NAME; none where nobody runs it."""
    return words[0].partition("=")[0] if words else ""


def relative_links(text: str) -> Iterator[str]:
    for link in LINK.finditer(INLINE_CODE.sub("", FENCE.sub("", text))):
        target = link["inline"] or link["reference"]
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


def anchors(text: str) -> set[str]:
    """The names under which a page's headings can be linked to."""
    found: set[str] = set()
    for heading in HEADING.finditer(FENCE.sub("", text)):
        words = re.sub(r"[^\w\- ]", "", heading["title"].lower()).replace(" ", "-")
        found.add(words if words not in found else f"{words}-{sum(other.startswith(words) for other in found)}")
    return found
