"""Processes that replay, beside each other: each gets jobs until none is left, and one that dies or hangs names the run it was at."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from perdure import errors
from perdure.cli.checking.findings import Finding, Kind, finding_of
from perdure.cli.complaints import Complaint
from perdure.cli.exits import Exit

REPLAY_SECONDS_MOST = 60.0  # of one run; the longest history allowed takes a tenth of it
LOOK_SECONDS = 0.5
_STDERR_BYTES_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Job:
    """`kind`: "runs" (names are ids) or "files" (names are paths)."""

    kind: str
    names: tuple[str, ...]


class Children:
    """`setup` is what each process is told first. Iterate over `replay`; leaving it early ends the processes."""

    def __init__(self, setup: dict[str, Any], count: int, seconds_most: float = REPLAY_SECONDS_MOST) -> None:
        self._setup = setup
        self.seconds_most = seconds_most
        self._answers: SimpleQueue[Finding | str | BaseException | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._jobs: Iterator[Job] = iter(())
        self._children = [Child(self) for _ in range(count)]
        self._is_over = False

    def replay(self, jobs: Iterable[Job]) -> Generator[Finding | str, None, None]:
        """What was found, and the name of each run or file whose turn has come."""
        self._jobs = iter(jobs)
        threads = [threading.Thread(target=child.work, daemon=True) for child in self._children]
        for thread in threads:
            thread.start()
        working = len(threads)
        try:
            while working:
                answer = self._next_answer()
                if isinstance(answer, BaseException):
                    raise answer
                if answer is None:
                    working -= 1
                else:
                    yield answer
        finally:
            self._is_over = True
            for child in self._children:
                child.kill()
            for thread in threads:
                thread.join()

    def _next_answer(self) -> Finding | str | BaseException | None:
        while True:
            try:
                return self._answers.get(timeout=LOOK_SECONDS)
            except Empty:  # put back: looked again, after the processes were looked at
                for child in self._children:
                    child.kill_if_stuck(self.seconds_most)

    # ── what its children ask ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def setup(self) -> bytes:
        return _line(self._setup)

    @property
    def is_over(self) -> bool:
        return self._is_over

    def next_job(self) -> Job | None:
        with self._lock:
            return None if self._is_over else next(self._jobs, None)

    def tell(self, answer: Finding | str | BaseException | None) -> None:
        self._answers.put(answer)


class Child:
    """One process at a time, and the thread that feeds it."""

    def __init__(self, owner: Children) -> None:
        self._owner = owner
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process; closed in `work`
        self._at: tuple[str, str | None, float] | None = None
        """The run it replays, its workflow, and since when."""
        self._is_stuck = False

    def work(self) -> None:
        """On a thread: until no job is left."""
        try:
            while (job := self._owner.next_job()) is not None:
                self._do(job)
            self._owner.tell(None)
        except BaseException as error:  # handed to whoever iterates
            self._owner.tell(error)
        finally:
            self._end()
            self._stderr.close()

    def kill(self) -> None:
        """From any thread; the child's own sees the end of its output."""
        process = self._process
        if process is not None:
            process.kill()

    def _end(self) -> int:
        """On the child's own thread."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what it was to be told it will not hear any more
                    pass
        return process.wait()

    def kill_if_stuck(self, seconds: float) -> None:
        at, process = self._at, self._process
        if at is not None and process is not None and time.monotonic() - at[2] > seconds:
            self._is_stuck = True
            process.kill()

    # ── one job ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do(self, job: Job) -> None:
        names = list(job.names)
        while names and not self._owner.is_over:
            begun = self._ask(Job(job.kind, tuple(names)))
            if begun is None:
                return
            names = names[names.index(begun) + 1 :]  # it died there: what follows is for the next process

    def _ask(self, job: Job) -> str | None:
        """Have the job done. The name at which the process died, if it did."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_line({job.kind: job.names}))
            process.stdin.flush()
        except BrokenPipeError:  # put back: what follows finds its output ended, and says so
            pass
        for line in process.stdout:
            answer = json.loads(line)
            if "begins" in answer:
                self._at = (answer["begins"], answer["workflow"], time.monotonic())
                self._owner.tell(answer["begins"])
            elif "found" in answer:
                self._owner.tell(finding_of(answer["found"]))
            elif "failed" in answer:
                raise getattr(errors, answer["failed"], errors.PerdureError)(answer["text"])
            else:
                self._at = None
                return None
        return self._died()

    def _died(self) -> str | None:
        status, at, was_stuck = self._end(), self._at, self._is_stuck
        self._at, self._is_stuck = None, False
        if self._owner.is_over:
            return None
        if at is None:
            raise Complaint(f"the process that replays ended with status {status} before it began", self._last_words(), Exit.DEFECT)
        how = f"did not end within {self._owner.seconds_most:g} s" if was_stuck else f"ended its process (status {status})"
        self._owner.tell(Finding(Kind.BREAKS, at[0], f"replaying it {how}: a worker would fare alike", at[1]))
        return at[0]

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", "-m", "perdure.cli.checking.child"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr)
        assert process.stdin is not None
        process.stdin.write(self._owner.setup)
        return process

    def _last_words(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_BYTES_SHOWN))
        return self._stderr.read().decode(errors="replace").strip() or "it said nothing; run it with --debug"


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
