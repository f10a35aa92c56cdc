"""Plants every bug of `mutants.py`, one at a time, and demands that its tests notice: `make mutants [ARGS='part of a name']`."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.mutants.mutants import MUTANTS
from tests.mutants.planting import Mutant, Verdict, copy_project, judge, run_tests

AT_ONCE = 2
SHOWN_CHARACTERS = 2000  # of what pytest says about a bug that nobody caught


def main(arguments: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in arguments)]
    if not chosen:
        print(f"no planted bug has all of {' '.join(arguments)!r} in its name")
        return 2
    with TemporaryDirectory() as name:
        folders: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            folder = Path(name, str(number))
            copy_project(folder)
            folders.put(folder)
        if not all_pass_without(chosen, folders):
            return 1
        verdicts = judge_all(chosen, folders)
    return report(verdicts)


def all_pass_without(chosen: Sequence[Mutant], folders: "SimpleQueue[Path]") -> bool:
    """A test that fails anyway would catch everything."""
    folder = folders.get()
    code, said = run_tests(tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests)), folder)
    folders.put(folder)
    if code:
        print(f"these tests must pass before anything is planted:\n{said}")
    return code == 0


def judge_all(chosen: Sequence[Mutant], folders: "SimpleQueue[Path]") -> list[Verdict]:
    def judge_in_a_free_folder(mutant: Mutant) -> Verdict:
        folder = folders.get()
        try:
            verdict = judge(mutant, folder)
        finally:
            folders.put(folder)
        print(line_of(verdict), flush=True)
        return verdict

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(judge_in_a_free_folder, chosen))


def line_of(verdict: Verdict) -> str:
    more = f" and {len(verdict.caught_by) - 1} more" if len(verdict.caught_by) > 1 else ""
    caught = f"{verdict.caught_by[0]}{more}" if verdict.is_caught else "NOBODY"
    return f"{verdict.seconds:5.1f} s  {verdict.mutant:<68}  {caught}"


def report(verdicts: Sequence[Verdict]) -> int:
    survivors = [verdict for verdict in verdicts if not verdict.is_caught]
    for survivor in survivors:
        print(f"\n{survivor.mutant}: caught by nobody\n{survivor.said[-SHOWN_CHARACTERS:]}")
    print(f"\n{len(verdicts)} bugs planted, {len(verdicts) - len(survivors)} caught, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
