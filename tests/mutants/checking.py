"""What could be got wrong about checking: reading a store without a trace, exported runs, and what is said before a deploy."""

from tests.mutants.naming import G12, bug

INSPECTION = "tests/unit/store/test_inspection.py"
EXPORTS = "tests/unit/codec/test_exports.py"
LINT = "tests/unit/authoring/test_lint.py"
CHILDREN = "tests/unit/cli/test_checking.py"

CHECKING = (
    bug(
        "trust a still file although it changed while it was read",
        f"{INSPECTION}::test_a_worker_that_comes_while_the_still_file_is_read_makes_it_be_read_again",
        edits=(
            (
                "store/sqlite/inspection.py",
                "        return None if self._has_wal() or self._stamp() != before else (found,)",
                "        return (found,)",
            ),
        ),
    ),
    bug(
        "join the WAL of a store that nobody has open",
        f"{INSPECTION}::test_a_store_that_nobody_has_open_is_read_without_a_trace",
        edits=(
            (
                "store/sqlite/inspection.py",
                "self._read_live(function) if self._has_wal() else self._read_still(function)",
                "self._read_live(function)",
            ),
        ),
    ),
    bug(
        "keep a payload as JSON although that gives other bytes",
        f"{EXPORTS}::test_bytes_that_json_would_write_otherwise_are_kept_in_base64",
        edits=(("codec/exports.py", "        return (value,) if _bytes_of(value) == payload else None", "        return (value,)"),),
    ),
    bug(
        "store what code that diverged has asked for",
        f"{G12}::test_what_diverging_code_asked_for_and_noted_is_not_held_against_the_fixed_code",
        edits=(
            ("engine/live.py", "    stands: bool = False", "    stands: bool = True"),
            ("engine/activation.py", "        run.stands = False\n        written_on", "        written_on"),
        ),
    ),
    bug(
        "read the code of steps like that of workflows",
        f"{LINT}::test_a_step_may_do_anything_however_it_was_made",
        edits=(
            (
                "authoring/lint/reading.py",
                "            if not self._is_durable(module.names.functions[first], here):",
                "            if module.names.functions[first]:",
            ),
        ),
    ),
    bug(
        "forget the run at which a replay has killed its process",
        f"{CHILDREN}::test_a_replay_that_does_not_end_is_cut_off_and_named_and_the_others_are_done",
        edits=(("cli/checking/children.py", "            names = names[names.index(begun) + 1 :]", "            names = []"),),
    ),
)
