"""How a planted bug is written down: its name, the tests that must notice, and what is replaced by what in which file."""

from tests.mutants.planting import Edit, Mutant

G01 = "tests/acceptance/test_g01_acknowledged_is_durable.py"
G02 = "tests/acceptance/test_g02_one_record_per_position.py"
G03 = "tests/acceptance/test_g03_steps_at_least_once.py"
G04 = "tests/acceptance/test_g04_at_most_once.py"
G05 = "tests/acceptance/test_g05_transactional_steps.py"
G06 = "tests/acceptance/test_g06_start_is_idempotent.py"
G07 = "tests/acceptance/test_g07_messages_exactly_once.py"
G09 = "tests/acceptance/test_g09_timers.py"
G10 = "tests/acceptance/test_g10_fencing.py"
G11 = "tests/acceptance/test_g11_nothing_is_stranded.py"
G12 = "tests/acceptance/test_g12_replay_is_checked.py"
G13 = "tests/acceptance/test_g13_the_end_is_the_end.py"
G15 = "tests/acceptance/test_g15_limits.py"
G16 = "tests/acceptance/test_g16_storage_trouble.py"
BAD = "tests/acceptance/test_bad_input.py"
DAMAGE = "tests/acceptance/test_damage.py"
STARTING = "tests/acceptance/test_starting.py"
RUNS = "tests/acceptance/test_runs.py"
TRIES = "tests/acceptance/test_step_tries.py"


def bug(name: str, *tests: str, edits: tuple[tuple[str, str, str], ...]) -> Mutant:
    return Mutant(name, tuple(Edit(*edit) for edit in edits), tests)
