"""The SQL of the portable profile, looked at by a linter for a database that speaks PostgreSQL's protocol and has less than PostgreSQL."""

import json
import subprocess
import sys
from pathlib import Path

from perdure.store.migrations import known_migrations
from perdure.store.postgresql import queries
from perdure.store.postgresql.portable import lacking
from perdure.store.postgresql.queries import named_queries
from perdure.store.postgresql.schema import PACKAGE, portable_statements

LINTER = str(Path(sys.executable).with_name("dsql-lint"))
SUBJECTS = sorted(path.stem for path in Path(queries.__file__).parent.glob("*.sql"))
MECHANICAL = {"collation", "index_async"}
"""What this database wants written otherwise: it compares bytes anyway, and makes indexes behind the scenes. The linter does both."""


def statements() -> list[str]:
    made = [statement for migration in known_migrations(PACKAGE) for statement in portable_statements(migration.sql)]
    return made + [statement for subject in SUBJECTS for statement in named_queries(subject, is_portable=True).values()]


def test_the_linter_finds_nothing_that_cannot_be_said_otherwise_and_nothing_in_what_it_wrote_itself(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.sql", tmp_path / "theirs.sql"
    ours.write_text(";\n".join(statements()) + ";\n")

    told = subprocess.run([LINTER, "--format", "json", str(ours)], stdout=subprocess.PIPE, check=False, text=True).stdout
    rules = {one["rule"] for file in json.loads(told)["files"] for one in file["diagnostics"]}
    fixed = subprocess.run([LINTER, "--fix", "--output", str(theirs), str(ours)], capture_output=True, check=False, text=True)
    again = subprocess.run([LINTER, str(theirs)], capture_output=True, check=False, text=True)

    assert rules <= MECHANICAL
    assert fixed.returncode in (0, 3), fixed.stdout  # 3: told of what it changed
    assert again.returncode == 0, again.stdout


def test_no_statement_of_the_portable_profile_needs_what_databases_of_the_same_protocol_lack() -> None:
    assert {statement: what for statement in statements() if (what := lacking(statement)) is not None} == {}


def test_what_only_postgresql_has_is_found_where_it_is_used() -> None:
    found = {what for subject in SUBJECTS for statement in named_queries(subject).values() if (what := lacking(statement)) is not None}

    assert found == {"a lock that others pass by", "a place of a row", "one table changed twice"}
