import asyncio, time
from dataclasses import replace
from perdure import *
from tests.acceptance.harness import Stage, CALM
@workflow
async def hear() -> str:
    return await receive("word", str)
async def test_x(stage):
    never_polls = replace(CALM, poll_seconds=1e6)
    engine = await stage.engine(hear, settings=never_polls)
    for number in range(40):
        run = await engine.start(hear, id=f"order-{number}")
        async def timed(name, one):
            r = await one.run(run.id).result(10)
            return r
        t = time.monotonic()
        waiting = asyncio.create_task(timed("e", engine))
        for _ in range(number%12):
            await asyncio.sleep(0)
        await run.signal("word", "hello")
        await asyncio.wait([waiting], timeout=0.4)
        if not waiting.done():
            live = engine.worker.live.get(run.id)
            print("LATE", number, "live", live is not None, "idle", len(engine.worker._idle), engine.worker._idle_timer, "wants", engine.worker._committer._wants_claims, engine.worker._committer._task)
            if live: print(live.reads_inbox, live.is_busy, live.has_news, live.ending, live.is_in_flight, live.idle_until, live.is_leaving, live.records, live.is_loading)
            print(stage.sql("select state, owner, wake_at from runs where id=?", run.id), stage.sql("select * from inbox"), stage.sql("select kind from history where run_id=?", run.id))
            print("cand", engine.worker._committer._dirty)
            print(await waiting)
    assert 0
