"""Which files `perdure dev` looks at, and what it calls a change."""

from pathlib import Path

import pytest

from perdure.cli.watching import changed, complaint_of, folders_of, look


def test_python_files_below_the_folder_are_seen_hidden_ones_and_environments_are_not(tmp_path: Path) -> None:
    for name in ("app.py", "package/flow.py", ".git/hook.py", "env/pyvenv.cfg", "env/lib.py", "node_modules/x.py", "data.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert sorted(look([str(tmp_path)])) == [str(tmp_path / "app.py"), str(tmp_path / "package/flow.py")]


def test_new_changed_and_removed_files_are_changes(tmp_path: Path) -> None:
    for name in ("same.py", "changes.py", "goes.py"):
        (tmp_path / name).write_text("x = 1\n")
    before = look([str(tmp_path)])
    (tmp_path / "changes.py").write_text("x = 12\n")
    (tmp_path / "goes.py").unlink()
    (tmp_path / "comes.py").touch()

    names = [Path(path).name for path in changed(before, look([str(tmp_path)]))]

    assert names == ["changes.py", "comes.py", "goes.py"]
    assert changed(before, before) == []


def test_the_folder_of_a_file_and_the_current_one_of_a_module_are_watched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()

    assert folders_of(["inner/app.py", "package.module:flows"]) == [str(tmp_path)]
    assert folders_of(["inner/app.py:flow"]) == [str(tmp_path / "inner")]
    assert folders_of(["inner/app.py"], [str(tmp_path)]) == [str(tmp_path)]


def test_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert look([str(tmp_path / "none")]) == {}


@pytest.mark.parametrize(("code", "says"), [("def (", "SyntaxError"), ("a = '\0'", "null byte"), ("if x:\npass", "IndentationError")])
def test_code_that_is_no_python_is_complained_of(tmp_path: Path, code: str, says: str) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text("x = 1\n")
    bad.write_text(code)

    assert complaint_of([str(good), str(tmp_path / "gone.py")]) is None
    assert says in (complaint_of([str(good), str(bad)]) or "")
