"""The documentation cannot fall behind: its links lead somewhere and its Python is Python."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.tidy.markdown import Block, anchors, python_blocks, relative_links
from tests.tidy.project import ROOT, text_files

PROGRAM_SECONDS_MOST = 60
AT_ONCE = 4  # they wait more than they work
RUN_BY = {"run": [], "test": ["-m", "pytest", "-q", "-p", "no:cacheprovider"]}
"""The words behind ```python``` and how such a block is executed."""
NAMED = {"file", "title"}


def broken_link(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    aim = (page.parent / path).resolve() if path else page
    if not aim.exists() or not aim.is_relative_to(ROOT):
        return True
    return bool(anchor) and aim.suffix == ".md" and anchor not in anchors(aim.read_text())


def syntax_error(code: str) -> SyntaxError | None:
    try:
        compile(code, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        return error
    return None


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    broken = [f"{name}: {link}" for name, text in text_files(".md") for link in relative_links(text) if broken_link(ROOT / name, link)]
    assert not broken


def blocks() -> Iterator[tuple[str, Block]]:
    """Every block of Python in the documentation, with the place where it stands."""
    for name, text in text_files(".md"):
        for block in python_blocks(text):
            yield f"{name}:{block.line}", block


def test_every_block_of_python_compiles() -> None:
    broken = [f"{place} {error}" for place, block in blocks() if (error := syntax_error(block.code))]
    assert not broken


def test_no_block_of_python_is_left_without_somebody_who_runs_it() -> None:
    """A block with a name is a file that a test of its page writes down and starts."""
    assert [place for place, block in blocks() if block.kind not in {*RUN_BY, *NAMED}] == []


def test_every_program_in_the_documentation_runs(tmp_path: Path) -> None:
    """Each in an empty folder; it must end with status 0."""

    def failure(number: int, place: str, block: Block) -> str:
        program = tmp_path / str(number) / "program.py"
        program.parent.mkdir()
        program.write_text(block.code)
        command = [sys.executable, *RUN_BY[block.kind], program.name]
        ended = subprocess.run(command, cwd=program.parent, capture_output=True, check=False, text=True, timeout=PROGRAM_SECONDS_MOST)
        return f"{place} ended with {ended.returncode}\n{ended.stdout}\n{ended.stderr}" if ended.returncode else ""

    programs = [(place, block) for place, block in blocks() if block.kind in RUN_BY]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        failures = list(threads.map(failure, range(len(programs)), *zip(*programs, strict=True)))
    assert not any(failures), "\n".join(failures)


PAGE = """# One title
See [here](#one-title), [there](other.md "Other"), [the net](https://example.com), `[no](link)`.

```python run
print(1)
```
  ```python
  await result
  ```
```sh
[not](a-link)
```
## One title
[later]: last.md#part
"""


def test_links_headings_and_blocks_are_found_in_a_page() -> None:
    assert list(relative_links(PAGE)) == ["#one-title", "other.md", "last.md#part"]
    assert anchors(PAGE) == {"one-title", "one-title-1"}
    assert list(python_blocks(PAGE)) == [Block(4, "print(1)\n", "run"), Block(7, "await result\n", "")]


def test_a_broken_link_and_broken_python_are_noticed() -> None:
    assert broken_link(ROOT / "README.md", "docs/no-such-page.md")
    assert broken_link(ROOT / "CONTRIBUTING.md", "CONTRIBUTING.md#no-such-heading")
    assert syntax_error("def (")
    assert not syntax_error("await run.result()")
