"""Completion in real shells: commands, options, values, and names from the store."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure.cli.main import perform

Completed = Callable[[str], list[str]]
SHELLS = ["bash", "zsh", "fish"]


def ask(shell: str, words: str) -> str:
    """A script that prints what this shell would offer for the last of the words."""
    count = len(words.split(" "))
    quoted = " ".join(f"'{word}'" for word in words.split(" "))
    return {
        "bash": f"""source <(perdure completion bash)
            COMP_WORDS=({quoted}); COMP_CWORD={count - 1}; _perdure_completion perdure; printf '%s\\n' "${{COMPREPLY[@]}}" """,
        "zsh": f"""autoload -Uz compinit; compinit -u -d "$ZDOTDIR/dump"; source <(perdure completion zsh)
            _describe() {{ print -l -- "${{(P)3[@]%%:*}}" }}; compadd() {{ print -l -- "${{(P)@[-1]}}" }}
            words=({quoted}); CURRENT={count}; $_comps[perdure]""",
        "fish": f"""perdure completion fish | source; complete -C '{words}' | string replace -r '\\t.*' ''""",
    }[shell]


def store_with_a_run(tmp_path: Path) -> str:
    store = f"sqlite:///{tmp_path / 's.db'}"
    assert perform(["db", "migrate", "--store", store, "-q"]) == 0
    assert perform(["run", "start", "fulfil", "--id", "order-17", "--store", store, "-q"]) == 0
    return store


@pytest.fixture(params=SHELLS)
def answered(request: pytest.FixtureRequest, tmp_path: Path) -> Completed:
    """What perdure answers to the script of this shell, which need not be installed."""
    store = store_with_a_run(tmp_path)

    def answer(words: str) -> list[str]:
        given = words.split(" ")
        asked = {"_PERDURE_COMPLETE": f"{request.param}_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(given) - 1)}
        if request.param == "fish":
            asked["COMP_CWORD"] = given[-1]  # its script gives the word itself
        environment = os.environ | asked | {"PERDURE_STORE": store}
        done = subprocess.run([sys.executable, "-m", "perdure"], env=environment, capture_output=True, text=True, check=True, timeout=60)
        assert not done.stderr, done.stderr
        return done.stdout.replace(",", "\n").replace("\t", "\n").splitlines()

    return answer


def test_what_a_script_asks_is_answered_with_commands_options_values_and_names(answered: Completed) -> None:
    assert "run" in answered("perdure ru")
    assert "start" in answered("perdure run st")
    assert "--status" in answered("perdure run list --stat")
    assert "quarantined" in answered("perdure run list --status qua")
    assert "order-17" in answered("perdure run show ord")
    assert "fulfil" in answered("perdure run start fu")
    assert "zsh" in answered("perdure completion z")


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed here")


@pytest.fixture(params=[pytest.param(shell, marks=needs(shell)) for shell in SHELLS])
def completed(request: pytest.FixtureRequest, tmp_path: Path) -> Completed:
    """What the shell itself offers, of those that are installed."""
    shell = request.param
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "perdure"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m perdure "$@"\n')
    command.chmod(0o755)
    store = store_with_a_run(tmp_path)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PERDURE_STORE": store, "HOME": str(tmp_path), "ZDOTDIR": str(tmp_path)
    }  # fmt: skip

    def complete(words: str) -> list[str]:
        done = subprocess.run(
            [shell, "-c", ask(shell, words)], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )
        assert not done.stderr, done.stderr
        return done.stdout.split()

    return complete


def test_commands_options_values_and_names_are_completed(completed: Completed) -> None:
    assert completed("perdure ru") == ["run"]
    assert "start" in completed("perdure run st")
    assert completed("perdure run list --stat") == ["--status"]
    assert completed("perdure run list --status qua") == ["quarantined"]
    assert completed("perdure run show ord") == ["order-17"]
    assert completed("perdure run start fu") == ["fulfil"]
    assert completed("perdure completion z") == ["zsh"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_without_a_store_and_without_that_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert perform(["completion", shell]) == 0
    assert f"_PERDURE_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_without_a_store_nothing_is_offered_and_nothing_is_said(tmp_path: Path) -> None:
    environment = os.environ | {"_PERDURE_COMPLETE": "bash_complete", "COMP_WORDS": "perdure run show x", "COMP_CWORD": "3"}
    for store in ("", f"sqlite:///{tmp_path / 'none.db'}"):
        done = subprocess.run(
            [sys.executable, "-m", "perdure"],
            env=environment | {"PERDURE_STORE": store},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert (done.stdout.strip(), done.stderr) == ("", "")
