"""The wheel alone, in an environment of its own outside the project, on every Python that is installed here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.artefacts import Installed, build, install, plain_python
from tests.tidy.test_packaging import PROJECT, requirement_name
from tests.versions.interpreters import MINORS

pytestmark = pytest.mark.timeout(400)  # packages may have to be fetched
VERSION = PROJECT["project"]["version"]
CORE = {requirement_name(one) for one in PROJECT["project"]["dependencies"]}
DEVELOPMENT = {requirement_name(one) for one in PROJECT["dependency-groups"]["dev"]}
OPTIONAL = {"rich", "uvloop"}

Installer = Callable[[str], Installed]


@pytest.fixture(scope="module")
def installed_on(tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """One environment for each minor that is asked for."""
    wheel = build(tmp_path_factory.mktemp("dist")).wheel
    made: dict[str, Installed] = {}

    def installed(minor: str) -> Installed:
        python = plain_python(minor)
        if python is None:
            pytest.skip(f"Python {minor} is not installed here")
        if minor not in made:
            made[minor] = install(wheel, python, tmp_path_factory.mktemp(f"python-{minor}"))
        return made[minor]

    return installed


LOOK = """
import importlib.metadata as metadata, json, sys
import perdure, perdure.testing
everything = {name: getattr(perdure, name).__module__ for name in perdure.__all__ if name != "errors"}
names = sorted((one.metadata["Name"] or "").lower() for one in metadata.distributions())
typed = any(str(file) == "perdure/py.typed" for file in metadata.files("perdure"))
print(json.dumps({"python": sys.version_info[:2], "file": perdure.__file__, "packages": names, "typed": typed}))
"""


@pytest.mark.parametrize("minor", MINORS)
def test_it_brings_what_it_needs_and_no_more(minor: str, installed_on: Installer) -> None:
    installed = installed_on(minor)

    looked = installed.run("python", "-W", "error", "-c", LOOK)

    assert looked.returncode == 0, looked.stderr
    found = json.loads(looked.stdout)
    assert ".".join(map(str, found["python"])) == minor
    assert Path(found["file"]).is_relative_to(installed.folder)
    assert found["typed"]
    assert set(found["packages"]) >= {"perdure", *CORE}
    assert not set(found["packages"]) & (DEVELOPMENT | OPTIONAL)


@pytest.mark.parametrize("minor", MINORS)
def test_the_command_says_its_version_and_helps(minor: str, installed_on: Installer) -> None:
    installed = installed_on(minor)

    version, helped = installed.run("perdure", "--version"), installed.run("perdure", "--help")

    assert (version.returncode, version.stdout, version.stderr) == (0, f"perdure {VERSION}\n", "")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "First steps:" in helped.stdout


@pytest.mark.parametrize("minor", MINORS)
def test_the_whole_demo_runs_from_the_wheel(minor: str, installed_on: Installer) -> None:
    shown = installed_on(minor).run("perdure", "demo")

    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
    assert "each approved request was ordered exactly once, nothing recorded was redone" in shown.stdout
