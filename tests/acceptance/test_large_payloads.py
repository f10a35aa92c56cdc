"""Payloads of the largest size, many at once: what is read at once is bounded by bytes, and nobody starves for it."""

import json
from dataclasses import replace
from typing import Any

from perdure import receive, workflow
from tests.acceptance.harness import CALM, Stage

MEGABYTE = "x" * 1_000_000


def watch_reads(stage: Stage) -> list[dict[str, int]]:
    """How many bytes of signals each checkpoint brings to which runs, for those that bring any."""
    reads: list[dict[str, int]] = []

    def on_answer(done: Any) -> None:
        found = {
            written.run_id: sum(len(record.output or b"") for record in written.records if record.kind == "signal")
            for written in done.written
        }
        if any(found.values()):
            reads.append({run_id: size for run_id, size in found.items() if size})

    stage.on_answer = on_answer
    return reads


async def test_the_inboxes_read_in_one_checkpoint_are_bounded_by_bytes(stage: Stage) -> None:
    @workflow
    async def flow() -> int:
        return sum([len(await receive("blob", str)) for _ in range(8)])

    client_engine = await stage.engine()
    runs = [await client_engine.start("flow") for _ in range(4)]
    for run in runs:
        for _ in range(8):
            await run.signal("blob", MEGABYTE)
    reads = watch_reads(stage)
    engine = await stage.engine(flow)

    assert [await engine.run(run.id).result(30) for run in runs] == [8_000_000] * 4
    assert max(sum(read.values()) for read in reads) <= CALM.inbox_page_bytes
    assert sum(sum(read.values()) for read in reads) == 32 * len(json.dumps(MEGABYTE))


A_PAGE_AND_MORE = """
with recursive numbers (number) as (select 1 union all select number + 1 from numbers where number < 12)
insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload)
select 'default', run_id, number, number, 's' || number, 'blob', cast('"' || hex(zeroblob(500000)) || '"' as blob)
from numbers, (select 'a-greedy' as run_id union all select 'b-modest') where number = 1 or run_id = 'a-greedy'
"""


async def test_a_run_that_was_put_off_for_a_large_inbox_comes_before_it_in_the_next_checkpoint(stage: Stage) -> None:
    """Also where the other one was signalled again meanwhile: else a run that gets much keeps those from theirs that get little."""

    @workflow
    async def flow() -> None:
        while True:
            await receive("blob")

    engine = await stage.engine(flow, settings=replace(CALM, linger_seconds=600.0, sweep_seconds=1e6))
    for name in ("a-greedy", "b-modest"):
        await engine.start(flow, id=name)
    live = engine.worker.live
    await stage.until(lambda: len(live) == 2 and not any(run.is_busy for run in live.values()))
    reads = watch_reads(stage)

    def signal_the_other_one_meanwhile(batch: Any) -> None:
        if "b-modest" in [change.run_id for change in batch.changes]:
            engine.worker.signalled("a-greedy")

    stage.on_checkpoint = signal_the_other_one_meanwhile
    stage.sql(A_PAGE_AND_MORE)
    await stage.until(lambda: len(reads) > 1)

    assert list(reads[0]) == ["a-greedy"]
    assert next(iter(reads[1])) == "b-modest"
