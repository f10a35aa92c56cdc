"""Random programs: trees of what a workflow may do, as JSON, so that the same workflow function can play any of them."""

import json
import zlib
from random import Random
from typing import Any

Op = dict[str, Any]
Program = list[Op]
TOPICS = ("paid", "changed", "cancelled")


def random_program(draw: Random, *, with_huge: bool) -> Program:
    """A few things in a row; some of them hold further programs."""
    author = Author(draw)
    program = author.sequence(depth=0, most=draw.choice((2, 5, 8)))
    if with_huge:
        program.insert(draw.randrange(len(program) + 1), author.step("huge"))
    return widened(changed(program, author), author)


def changed(program: Program, author: "Author") -> Program:
    """Some programs undo what they did, pass marks and continue as new. Drawn from the program itself: what was drawn before stays."""
    draw = Random(zlib.crc32(json.dumps(program).encode()))
    author = Author(draw, author.places)
    if draw.random() < 0.6:
        return program
    for depth in range(2):
        if draw.random() < 0.4:
            place = draw.randrange(len(program))
            undoes = [author.step(draw.choice(("act", "act_in_thread", "act_twice"))) for _ in range(draw.choice((1, 2, 3)))]
            saga = {"do": "saga", "undo": undoes, "body": program[place:], "fails": draw.random() < 0.5, "depth": depth}
            program = [*program[:place], saga]
    if draw.random() < 0.5:
        program.insert(draw.randrange(len(program) + 1), {"do": "patched", "mark": draw.choice("abc")})
    if draw.random() < 0.5 and len(program) > 1:
        place = draw.randrange(1, len(program))
        program = [*program[:place], {"do": "continue", "program": program[place:]}]
    return program


def widened(program: Program, author: "Author") -> Program:
    """Some steps write into the run's own database, some calls are waited for in other ways. Drawn as in `changed`."""
    draw = Random(zlib.crc32(b"widened" + json.dumps(program).encode()))
    if draw.random() < 0.4:
        return program
    return Widening(draw, Author(draw, author.places)).sequence(program)


class Widening:
    def __init__(self, draw: Random, author: "Author") -> None:
        self._draw = draw
        self._author = author

    def sequence(self, program: Program) -> Program:
        return [self._op(op) for op in program]

    def _op(self, op: Op) -> Op:
        draw = self._draw
        if draw.random() < 0.12 and op["do"] in ("step", "sleep", "receive", "gather"):
            extra = self._author.step()  # a mark of its own: memory takes the new code at once, where a deploy would begin with a replay
            op = {"do": "patched", "mark": f"place {extra['place']}", "then": [extra, op], "otherwise": [op]}
        for name in ("body", "meanwhile", "clean_up", "each", "items", "program", "then", "otherwise"):
            if name in op:
                op = {**op, name: self.sequence(op[name])}
        if op["do"] == "step":
            return self._step(op)
        if "undo" in op:
            op = {**op, "undo": [self._booking(one) for one in op["undo"]]}
        if "branches" in op:
            op = {**op, "branches": [self.sequence(branch) for branch in op["branches"]]}
        if draw.random() < 0.15:
            return {"do": draw.choice(("shield", "wait_for")), "seconds": draw.choice((0.001, 0.5, 5)), "body": [op]}
        return op

    def _booking(self, op: Op) -> Op:
        draw = self._draw
        if op["step"] not in ("act", "act_in_thread", "huge") or draw.random() < 0.6:
            return op
        step = "book_huge" if op["step"] == "huge" else "book"
        return {**op, "step": step, "error": draw.choice(("oops", "oops", "final", "later", *SPOILING))}

    def _step(self, op: Op) -> Op:
        draw = self._draw
        op = self._booking(op)
        if draw.random() < 0.1:
            return {"do": draw.choice(("event", "completed")), "branches": [[op], [self._author.step()]]}
        if draw.random() < 0.1 and not op["step"].startswith(("huge", "book")):
            return {**op, "options": {"attempts": draw.choice((1, 2)), "seconds": draw.choice((0.3, 5))}}
        return op


SPOILING = ("forbidden", "rolled_back", "full")
"""What the first body of a transactional step does to the transaction it is in."""


class Author:
    def __init__(self, draw: Random, places: int = 0) -> None:
        self._draw = draw
        self.places = places

    def sequence(self, depth: int, most: int) -> Program:
        return [self.op(depth) for _ in range(self._draw.randint(1, most))]

    def op(self, depth: int) -> Op:
        kinds = ["step"] * 8 + ["sleep"] * 3 + ["receive"] * 3 + ["status", "values"]
        if depth < 2:
            kinds += (
                ["guarded", "guarded"]
                + ["gather"] * 3
                + ["group", "limit", "limit", "race", "race", "attempt", "background", "locked", "pipe"]
            )
        kind = self._draw.choice(kinds)
        if kind == "step":
            return self.step()
        make: Any = getattr(self, f"_{kind}")
        op: Op = make(depth)
        return {"do": kind, **op}

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, step: str | None = None) -> Op:
        draw = self._draw
        self.places += 1
        return {
            "do": "step",
            "step": step
            or draw.choice(("act",) * 5 + ("act_in_thread",) * 3 + ("act_once",) * 3 + ("act_twice", "act_patiently", "act_briefly")),
            "place": self.places,
            "takes": draw.choice((0, 0, 0, 0.001, 0.02, 0.3, draw.choice((1.0, 4.0, 15.0)))),
            "fails": draw.choice((0, 0, 0, 0, 1, 1, 2, 9)),
            "error": draw.choice(("oops", "oops", "oops", "final", "later", "odd")),
            "is_caught": draw.random() < 0.85,
        }

    # ── waits ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _sleep(self, _depth: int) -> Op:
        draw = self._draw
        return {"seconds": draw.choice((0.001, 0.1, 0.7, 1.3, 3, 8, 8, draw.choice((40, 600, 90_000, 60 * 86_400))))}

    def _receive(self, _depth: int) -> Op:
        draw = self._draw
        topics = draw.sample(TOPICS, draw.choice((1, 1, 2)))
        return {"topics": topics, "timeout": draw.choice((None, None, 0.5, 3, 20, 86_400))}

    # ── what needs no record ─────────────────────────────────────────────────────────────────────────────────────────

    def _status(self, _depth: int) -> Op:
        return {"note": self._draw.randrange(100)}

    def _values(self, _depth: int) -> Op:
        return {}

    # ── what holds programs ──────────────────────────────────────────────────────────────────────────────────────────

    def _branches(self, depth: int) -> list[Program]:
        return [self.sequence(depth + 1, 2) for _ in range(self._draw.choice((2, 2, 3, 5)))]

    def _gather(self, depth: int) -> Op:
        return {"branches": self._branches(depth), "collects": self._draw.random() < 0.5}

    def _group(self, depth: int) -> Op:
        return {"branches": self._branches(depth)}

    def _race(self, depth: int) -> Op:
        return {"branches": self._branches(depth), "until": self._draw.choice(("first", "first", "error", "timeout"))}

    def _limit(self, depth: int) -> Op:
        return {"seconds": self._draw.choice((0.001, 0.1, 1, 5)), "body": self.sequence(depth + 1, 3)}

    def _attempt(self, depth: int) -> Op:
        return {"body": self.sequence(depth + 1, 3)}

    def _guarded(self, depth: int) -> Op:
        return {"body": self.sequence(depth + 1, 3), "clean_up": self.sequence(depth + 1, 2)}

    def _background(self, depth: int) -> Op:
        return {"body": self.sequence(depth + 1, 2), "meanwhile": self.sequence(depth + 1, 2), "cancels": self._draw.random() < 0.5}

    def _locked(self, depth: int) -> Op:
        return {"branches": self._branches(depth)}

    def _pipe(self, depth: int) -> Op:
        return {"items": [self.step("act") for _ in range(self._draw.randint(1, 4))], "each": self.sequence(depth + 2, 1)}
