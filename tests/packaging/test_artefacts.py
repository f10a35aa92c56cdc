"""What a release consists of: nothing is missing, and nothing is in it that is only for those who work on perdure."""

import tarfile
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest

from tests.packaging.artefacts import Artefacts, build
from tests.tidy.project import ROOT, file_names

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Artefacts:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def metadata(artefacts: Artefacts) -> Message:
    with zipfile.ZipFile(artefacts.wheel) as wheel:
        return message_from_string(wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))).decode())


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


def test_the_wheel_holds_the_package_and_its_description_and_nothing_else(artefacts: Artefacts) -> None:
    tops = {name.split("/")[0] for name in names_in(artefacts.wheel)}
    assert tops == {"perdure", f"perdure-{PROJECT['version']}.dist-info"}


def test_no_test_no_benchmark_and_no_cache_is_in_the_wheel(artefacts: Artefacts) -> None:
    parts = {part for name in names_in(artefacts.wheel) for part in PurePosixPath(name).parts}
    unwanted = {"tests", "benchmarks", "examples", "docs", "__pycache__", "conftest.py"}
    assert not parts & unwanted
    assert not [part for part in parts if part.startswith("test_") or part.endswith((".pyc", ".db"))]


def test_the_data_of_the_package_is_in_the_wheel(artefacts: Artefacts) -> None:
    names = names_in(artefacts.wheel)
    assert "perdure/py.typed" in names
    assert {PurePosixPath(name).suffix for name in names if name.startswith("perdure/")} >= {".py", ".sql", ".json"}


def test_the_wheel_is_for_every_platform_and_python_3(artefacts: Artefacts) -> None:
    assert artefacts.wheel.name == f"perdure-{PROJECT['version']}-py3-none-any.whl"


def test_the_metadata_say_what_it_is_what_it_needs_and_under_which_licence(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("perdure", PROJECT["version"])
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "Apache-2.0")
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Summary"] == PROJECT["description"]
    core = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(core) == sorted(PROJECT["dependencies"])
    assert sorted(metadata.get_all("Provides-Extra", [])) == sorted(PROJECT["optional-dependencies"])
    assert metadata.get_payload() == (ROOT / "README.md").read_text()


def test_the_archive_of_the_source_holds_what_tests_and_documentation_need(artefacts: Artefacts) -> None:
    left_out = (".git", ".ci/", "benchmarks/")
    wanted = {name for name in file_names() if not name.startswith(left_out)}
    with tarfile.open(artefacts.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert wanted <= held
    assert held - wanted <= {"PKG-INFO", ".gitignore"}


def test_the_archive_of_the_source_builds_the_same_wheel(artefacts: Artefacts, tmp_path: Path) -> None:
    with tarfile.open(artefacts.sdist) as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # 3.11.4 and later know it

    again = build(tmp_path / "dist", next(tmp_path.glob("perdure-*")))

    assert again.wheel.read_bytes() == artefacts.wheel.read_bytes()
