"""Records the sample workflows, or replays what was recorded: what the tests run on each Python minor.

`python -m tests.versions.child record` prints the recordings as JSON; `… replay` reads them and prints what came of each.
"""

import base64
import json
import sys
from typing import Any

from perdure.errors import NonDeterminism
from perdure.model.records import Record, RecordKind
from tests.driving import VirtualEngine, new_execution, replay
from tests.versions.samples.catalogue import Sample, samples_here

SCHEDULES = range(3)


def record() -> list[dict[str, Any]]:
    return [recording(sample, schedule) for sample in samples_here() for schedule in SCHEDULES]


def recording(sample: Sample, schedule: int) -> dict[str, Any]:
    with VirtualEngine(sample.workflow, *sample.arguments, signals=sample.signals, schedule=schedule) as engine:
        engine.run()
        return {
            "sample": sample.name,
            "schedule": schedule,
            "payload": engine.payload.decode(),
            "history": [written(one) for one in engine.history],
            "stands": [stand.as_json() for stand in engine.stands],
        }


def replay_all(recordings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    samples = {sample.name: sample for sample in samples_here()}
    return [{"sample": one["sample"], **verdict(samples[one["sample"]], one)} for one in recordings if one["sample"] in samples]


def verdict(sample: Sample, given: dict[str, Any]) -> dict[str, Any]:
    execution = new_execution(sample.workflow, given["payload"].encode())
    try:
        stands = [stand.as_json() for stand in replay(execution, [read(one) for one in given["history"]])]
    except NonDeterminism as error:
        return {"is": "detected", "why": str(error)}
    finally:
        execution.close()
    for here, there in zip(stands, given["stands"], strict=True):
        if here != there:
            return {"is": "different", "here": here, "there": there}
    return {"is": "same"}


def written(record: Record) -> dict[str, Any]:
    payloads = {name: getattr(record, name) for name in ("digest", "output", "error")}
    return {
        "position": record.position,
        "at": record.at,
        "kind": record.kind.value,
        "name": record.name,
        "command": record.command,
        **{name: None if value is None else base64.b64encode(value).decode() for name, value in payloads.items()},
    }


def read(entry: dict[str, Any]) -> Record:
    payloads = {name: None if entry[name] is None else base64.b64decode(entry[name]) for name in ("digest", "output", "error")}
    return Record(entry["position"], entry["at"], RecordKind(entry["kind"]), entry["name"], entry["command"], **payloads)


if __name__ == "__main__":
    answer = record() if sys.argv[1] == "record" else replay_all(json.load(sys.stdin))
    json.dump(answer, sys.stdout)
