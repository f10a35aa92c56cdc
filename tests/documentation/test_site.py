"""The documentation is built strictly, is whole, and needs nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from sphinx.util.inventory import InventoryFile

import perdure
import perdure.logging
import perdure.testing
from perdure import errors
from perdure.cli.main import cli
from perdure.model.records import RecordKind
from perdure.settings import Limits, Settings
from tests.documentation.command_lines import command_lines, complaint
from tests.tidy.project import ROOT

DOCS = ROOT / "docs"
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\bhref=["']?(?:https?:)?//)(?![^>]*\brel=["']?canonical)[^>]*>"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//""",
    re.IGNORECASE,
)


def built(source: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sphinx", "--fresh-env", "--fail-on-warning", "--keep-going", "--quiet", str(source), str(target)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = built(DOCS, target)
    assert done.returncode == 0, done.stderr
    return target


def test_the_documentation_is_built_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()
    assert (site / "searchindex.js").exists()


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    fetching = {
        path.relative_to(site).as_posix(): FETCHED.findall(text)
        for path in site.rglob("*")
        if path.suffix in {".html", ".css"} and FETCHED.search(text := path.read_text())
    }
    assert not fetching


def test_what_would_be_fetched_is_recognised() -> None:
    assert FETCHED.search('<script async src="https://example.com/x.js"></script>')
    assert FETCHED.search('<link rel="stylesheet" href="//example.com/x.css">')
    assert FETCHED.search("@font-face { src: url(https://example.com/x.woff) }")
    assert not FETCHED.search('<a href="https://example.com/">there</a><script src="_static/x.js"></script>')


def test_the_reference_has_every_name_that_can_be_imported(site: Path) -> None:
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: base + path)
    described = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    wanted = {f"perdure.{name}" for name in perdure.__all__ if name != "errors"}
    wanted |= {f"perdure.testing.{name}" for name in perdure.testing.__all__}
    wanted |= {f"perdure.logging.{name}" for name in perdure.logging.__all__}
    wanted |= {f"perdure.errors.{one.__name__}" for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)}
    assert wanted <= described


def test_the_reference_has_every_command_and_every_setting(site: Path) -> None:
    commands = (site / "reference/command-line.html").read_text()
    assert [path for path in paths(cli, "perdure") if f'id="{path.replace(" ", "-")}"' not in commands] == []
    settings = (site / "reference/settings.html").read_text()
    assert [name for name in (*Settings.__slots__, *Limits.__slots__) if f">{name}<" not in settings] == []


def paths(group: click.Group, path: str) -> list[str]:
    own = [f"{path} {name}" for name in group.commands]
    return own + [
        one for name, command in group.commands.items() if isinstance(command, click.Group) for one in paths(command, f"{path} {name}")
    ]


def test_the_explanation_tells_every_kind_of_record() -> None:
    page = (DOCS / "explanation/history-and-replay.md").read_text()
    assert [kind.value for kind in RecordKind if f"`{kind.value}`" not in page] == []


def test_every_command_line_in_the_documentation_would_be_understood() -> None:
    found = list(command_lines())
    assert len(found) > 30
    assert [f"{place}: {line}: {why}" for place, line in found if (why := complaint(line))] == []


def test_a_command_line_that_would_not_be_understood_is_noticed() -> None:
    assert complaint("perdure run list --statuss failed")
    assert complaint("perdure run begin x")
    assert complaint("perdure run list --status gone")
    assert complaint("perdure run show")
    assert not complaint("perdure run list -q --status failed | perdure run retry -")


FAULTY = {
    "see [here](nowhere.md)": "nowhere.md",
    "see [there](index.md#no-such-heading)": "no-such-heading",
    "see {py:obj}`perdure.nothing`": "perdure.nothing",
    "![picture](nothing.svg)": "nothing.svg",
    "[outside](../src/perdure/nothing.py)": "nothing.py",
}


def test_what_leads_nowhere_fails_the_build_and_is_named(tmp_path: Path) -> None:
    shutil.copytree(DOCS / "building", tmp_path / "docs/building", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(DOCS / "conf.py", tmp_path / "docs/conf.py")
    (tmp_path / "docs/index.md").write_text("# A page\n\n" + "\n\n".join(FAULTY) + "\n")

    done = built(tmp_path / "docs", tmp_path / "site")

    assert done.returncode != 0
    assert [fault for fault, told in FAULTY.items() if told not in done.stderr] == []


@pytest.mark.parametrize("gap", ["reference: perdure.nothing", "reference: perdure.Client: nothing", "reference: perdure.status.status_of"])
def test_a_name_that_does_not_exist_or_says_nothing_fails_the_build(gap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    from building.pages import filled
    from building.reference import NotDocumented

    with pytest.raises(NotDocumented):
        filled(f"<!-- {gap} -->")
