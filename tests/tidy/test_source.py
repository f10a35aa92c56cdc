"""The code keeps to the rules of style."""

import re

import pytest

from tests.tidy import patience, ports, rules
from tests.tidy.project import python_files, text_files

# The names are put together so that this file does not hold them.
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:" + "|".join(["work", "root", "tmp", "home", "Users"]) + r")/\w")
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry.npm" + "js.org",
    "npm" + "js.com",
    "deb.debian" + ".org",
    "proxy.golang" + ".org",
]

IN_SOURCE = [
    rules.has_docstring,
    rules.is_short,
    rules.is_named_for_its_subject,
    rules.swallows_nothing_silently,
    rules.needs_the_core_only,
    rules.never_runs_stored_code,
    rules.switches_no_check_off,
    ports.waits_with_wait_for,
]
IN_TESTS = [rules.has_docstring, rules.is_named_for_its_subject, rules.does_not_sleep_to_wait]


def told(offences: list[str]) -> str:
    return "\n" + "\n".join(offences)


def test_there_is_code_to_check() -> None:
    assert len(list(python_files("src/perdure/"))) > 10


@pytest.mark.parametrize("rule", IN_SOURCE, ids=lambda rule: rule.__name__)
def test_the_source(rule: rules.Rule) -> None:
    offences = [offence for source in python_files("src/") for offence in rule(source)]
    assert not offences, told(offences)


@pytest.mark.parametrize("rule", IN_TESTS, ids=lambda rule: rule.__name__)
def test_each_test_file(rule: rules.Rule) -> None:
    offences = [offence for source in python_files("tests/", "benchmarks/") for offence in rule(source)]
    assert not offences, told(offences)


def test_no_test_gives_up_before_a_busy_machine_can_be_done() -> None:
    offences = [offence for source in python_files(*patience.ROOMS) for offence in patience.waits_long_enough(source)]
    assert not offences, told(offences)


def test_every_lint_exception_has_its_reason() -> None:
    offences = [offence for source in python_files("") for offence in rules.gives_reasons_for_lint_exceptions(source)]
    assert not offences, told(offences)


def test_clocks_randomness_and_tasks_are_reached_through_ports_only() -> None:
    found = [(source.path, line, name) for source in python_files(*ports.ROOMS) for line, name in ports.reaches_past_the_ports(source)]
    offences = [f"{path}:{line} uses {name}; take it through a port" for path, line, name in found if (path, name) not in ports.ALLOWED]
    assert not offences, told(offences)


def test_every_allowance_of_the_ports_is_still_needed() -> None:
    needed = {(source.path, name) for source in python_files(*ports.ROOMS) for _, name in ports.reaches_past_the_ports(source)}
    assert set(ports.ALLOWED) <= needed


def test_no_file_names_a_place_on_one_machine_or_a_registry() -> None:
    offences = []
    for path, text in text_files():
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                offences.append(f"{path}:{number} holds a path of one machine: {line.strip()[:100]}")
            offences.extend(f"{path}:{number} names the registry {host}" for host in REGISTRIES if host in line)
    assert not offences, told(offences)
