"""The documentation cannot fall behind: its links lead somewhere and its Python is Python."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.markdown import Block, anchors, python_blocks, relative_links
from tests.tidy.project import ROOT, text_files

PROGRAM_SECONDS_MOST = 60


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


def test_every_program_in_the_documentation_runs(tmp_path: Path) -> None:
    """Each block that opens with ```python run``` is executed in an empty folder and must end with status 0."""
    failures = []
    for number, (place, block) in enumerate((place, block) for place, block in blocks() if block.is_program):
        program = tmp_path / str(number) / "program.py"
        program.parent.mkdir()
        program.write_text(block.code)
        command = [sys.executable, program.name]
        ended = subprocess.run(command, cwd=program.parent, capture_output=True, check=False, text=True, timeout=PROGRAM_SECONDS_MOST)
        if ended.returncode:
            failures.append(f"{place} ended with {ended.returncode}\n{ended.stderr}")
    assert not failures, "\n".join(failures)


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
    assert list(python_blocks(PAGE)) == [Block(4, "print(1)\n", is_program=True), Block(7, "await result\n", is_program=False)]


def test_a_broken_link_and_broken_python_are_noticed() -> None:
    assert broken_link(ROOT / "README.md", "docs/no-such-page.md")
    assert broken_link(ROOT / "CONTRIBUTING.md", "CONTRIBUTING.md#no-such-heading")
    assert syntax_error("def (")
    assert not syntax_error("await run.result()")
