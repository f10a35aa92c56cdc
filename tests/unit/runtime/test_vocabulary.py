"""asyncio's whole vocabulary of waiting works in a workflow, and every replay sees the same."""

import pytest

from tests.driving import VirtualEngine, replays_alike
from tests.versions.samples.catalogue import Sample, samples_here

SCHEDULES = range(6)


@pytest.mark.parametrize("sample", samples_here(), ids=lambda sample: sample.name)
def test_each_word_of_asyncio_works_and_replays_alike_from_every_record(sample: Sample) -> None:
    for schedule in SCHEDULES:
        with VirtualEngine(sample.workflow, *sample.arguments, signals=sample.signals, schedule=schedule) as engine:
            engine.run()
            if sample.raises:
                assert engine.outcome == ("raised", "ValueError", sample.raises)
            elif sample.result is not ...:
                assert engine.result == sample.result, f"schedule {schedule}"
            else:
                assert engine.outcome is not None
                assert engine.outcome[0] == "returned", engine.outcome
            replays_alike(engine)


@pytest.mark.parametrize("sample", samples_here(), ids=lambda sample: sample.name)
def test_each_word_of_asyncio_survives_a_crash_after_every_checkpoint(sample: Sample) -> None:
    for schedule in SCHEDULES:
        given = {"signals": sample.signals, "schedule": schedule}
        with VirtualEngine(sample.workflow, *sample.arguments, **given) as calm:
            calm.run()
        with VirtualEngine(sample.workflow, *sample.arguments, **given, crashes=True) as crashing:
            crashing.run()
        assert crashing.history == calm.history
        assert crashing.stands == calm.stands
