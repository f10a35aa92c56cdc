"""What holds for every test."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import server

os.environ.pop("PERDURE_STORE", None)  # no test may touch the store of whoever runs it

# No deadline: a busy machine is no failure. In CI the same examples each time, so that a change is judged by what it changed.
settings.register_profile("perdure", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("perdure")


def pytest_configure(config: pytest.Config) -> None:
    server.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    server.end_run()


@pytest.fixture(autouse=True)
def _what_is_imported_from_a_folder_of_a_test_is_forgotten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The module `app` of the next test is another one."""
    before = set(sys.modules)
    yield
    folders = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(folders):
            del sys.modules[name]
