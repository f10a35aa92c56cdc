"""The systemd unit of the documentation, run by a systemd that is process 1, with the wheel installed."""

from collections.abc import Iterator

import pytest

from tests.packaging.booted import Booted, why_not

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    if (reason := why_not()) is not None:
        pytest.skip(f"no systemd can be booted: {reason}")
    booted = Booted(tmp_path_factory.mktemp("machine"))
    yield booted
    booted.end()


def begin(machine: Booted, run: str) -> None:
    """Start the unit where it does not run, and a run that waits for its signal."""
    machine.ask("systemctl", "start", "orders")
    machine.until(lambda: machine.perdure("db", "status"), "the store is there")
    machine.perdure("run", "start", "fulfil", "--id", run, "--input", f'{{"order": "{run}"}}')
    machine.until(lambda: "signal 'paid'" in machine.perdure("run", "show", run, "-o", "json"), "the first step is recorded")


def test_killed_workers_and_a_killed_supervisor_are_replaced_and_runs_go_on(machine: Booted) -> None:
    begin(machine, "a")
    machine.until(lambda: len(machine.workers()) == 2, "two workers")
    machine.ask("kill", "-KILL", *machine.workers())
    machine.until(lambda: len(machine.workers()) == 4, "two more workers")
    machine.ask("kill", "-KILL", machine.state("MainPID"))
    machine.until(lambda: machine.state("NRestarts") == "1" and len(machine.workers()) == 6, "systemd started them anew")
    machine.ask("touch", "/var/lib/orders/a")
    machine.perdure("run", "signal", "a", "paid")

    assert machine.perdure("run", "wait", "a", "--timeout", "60") == '"shipped a"'
    assert machine.noted().count("reserved a") == 1  # what was recorded was not run again
    assert "ok" in machine.perdure("doctor")
    assert "wrong" not in machine.perdure("doctor")


def test_told_to_stop_it_lets_the_step_end_and_the_run_goes_on_after_the_next_start(machine: Booted) -> None:
    begin(machine, "b")
    machine.perdure("run", "signal", "b", "paid")
    machine.until(lambda: "begins b" in machine.noted(), "the step is under way")
    machine.ask("systemctl", "stop", "--no-block", "orders")
    machine.until(lambda: "SIGTERM: stopping" in machine.journal(), "it has been told")
    machine.ask("touch", "/var/lib/orders/b")
    machine.until(lambda: machine.state("ActiveState") == "inactive", "it has stopped")

    assert (machine.state("Result"), machine.state("ExecMainStatus")) == ("success", "0")
    machine.ask("systemctl", "start", "orders")
    assert machine.perdure("run", "wait", "b", "--timeout", "60") == '"shipped b"'
    assert machine.noted().count("begins b") == 1


def test_an_app_that_cannot_be_imported_is_not_tried_for_ever(machine: Booted) -> None:
    machine.ask("systemctl", "stop", "orders")
    machine.ask("mv", "/opt/orders/orders/flows.py", "/opt/orders/orders/away.py")
    machine.ask("systemctl", "start", "orders")
    machine.until(lambda: machine.state("ActiveState") == "failed", "it has given up")

    assert machine.state("ExecMainStatus") == "2"
    assert "orders.flows could not be imported" in machine.journal() or "there is no module" in machine.journal()
    machine.ask("mv", "/opt/orders/orders/away.py", "/opt/orders/orders/flows.py")
