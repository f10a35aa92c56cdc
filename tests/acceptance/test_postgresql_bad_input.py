"""What is wrong with an address of PostgreSQL is said in one line that names the setting, with the exit status for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import database, free_port, new_address

UNREACHABLE, DENIED = 5, 6


def run_list(address: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "perdure", *(arguments or ("run", "list")), "--store", address]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def addresses() -> dict[str, tuple[str, int, str]]:
    """What is wrong: the address, the exit status, and what the line says."""
    server = database()
    good = new_address()
    other = f"postgresql://perdure@127.0.0.1:{server.port}"
    return {
        "no such host": ("postgresql://perdure@no-such-host.invalid/orders", UNREACHABLE, "check host and port"),
        "nobody listens there": (f"postgresql://perdure@127.0.0.1:{free_port()}/orders", UNREACHABLE, "check host and port"),
        "no such database": (f"{other}/no_such_database", UNREACHABLE, "there is no such database"),
        "no store in it": (good, UNREACHABLE, "perdure db migrate"),
        "another schema": (good.replace("schema=", "schema=other_"), UNREACHABLE, "schema=other_"),
        "no name for a schema": (good.replace("schema=", "schema=A%20B"), UNREACHABLE, "not a name for a schema"),
        "an unknown option": (f"{other}/postgres?sslmod=require", UNREACHABLE, "sslmod"),
        "another password": (f"postgresql://checked:wrong@127.0.0.1:{server.port}/postgres", DENIED, "the user or the password"),
        "no right to connect": (f"postgresql://stranger@127.0.0.1:{server.port}/closed", DENIED, "the user may not connect"),
    }


@pytest.mark.parametrize(
    "what",
    [
        "no such host",
        "nobody listens there",
        "no such database",
        "no store in it",
        "another schema",
        "no name for a schema",
        "an unknown option",
        "another password",
        "no right to connect",
    ],
)
def test_an_address_that_leads_nowhere_is_told_in_a_line(tmp_path: Path, what: str) -> None:
    address, status, said = addresses()[what]

    done = run_list(address, tmp_path)

    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "wrong" not in done.stderr, "a password is never shown"


def test_a_user_without_the_right_to_create_is_told_so_and_nothing_is_left_behind(tmp_path: Path) -> None:
    address = new_address().replace("perdure@", "stranger@")

    done = run_list(address, tmp_path, "db", "migrate")

    assert done.returncode == DENIED, done.stderr
    assert "lacks a privilege" in done.stderr


def test_a_store_is_made_and_listed_by_its_address_alone(tmp_path: Path) -> None:
    address = new_address()

    assert run_list(address, tmp_path, "db", "migrate").returncode == 0
    assert run_list(address, tmp_path).returncode == 0
