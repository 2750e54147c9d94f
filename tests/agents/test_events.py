"""Everything that a run tells has a type, and a file that is made from the history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from selfsteer.agents import approval
from selfsteer.agents.budget import Budget
from selfsteer.agents.events import EVENTS, RunEvent, record_event
from selfsteer.agents.evolve import evolve_goal
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.memory.export import events_file
from selfsteer.memory.history import history
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import EFFORT, IMPOSSIBLE, Scripted, build_talker, settings, stopped_at
from tests.agents.evolving_doubles import evolving
from tests.agents.evolving_doubles import found as founders

pytestmark = pytest.mark.usefixtures("few_probes")

KINDS = {
    get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(RunEvent)[0])
}


def lines(memory: Memory, run: Run) -> list[dict[str, Any]]:
    """What the run's file says."""
    text = events_file(memory, run.id).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def on_record(memory: Memory, run: Run) -> list[tuple[int, str, Any]]:
    return [(event.sequence, event.kind, event.payload) for event in history(memory, run.id)]


def told(rows: list[dict[str, Any]]) -> list[tuple[int, str, Any]]:
    return [(row["sequence"], row["kind"], row["payload"]) for row in rows]


def test_every_kind_is_told_and_read_back_as_it_was_written(
    talker: Student, memory: Memory
) -> None:
    wide = EFFORT.model_copy(update={"report_samples": 4000})
    run_goal(talker, Scripted(), memory, settings())
    run_goal(talker, Scripted(), memory, settings())
    run_goal(build_talker(bias=11.5), Scripted(), memory, settings())
    run_goal(
        talker,
        Scripted(),
        memory,
        settings(goal="rest", effort=wide, budget=Budget(rounds=1, generated_tokens=20_000)),
    )
    run_goal(talker, Scripted(), memory, settings(thresholds=IMPOSSIBLE, budget=Budget(rounds=1)))
    asking = run_goal(talker, Scripted(), memory, settings(goal="ask", approve=frozenset({"data"})))
    approval.accept(memory, asking.id)
    resume_run(asking.id, talker, Scripted(), memory)
    run_goal(talker, Scripted(), memory, settings(goal="ask, rest"))  # each was met just now
    evolve_goal(talker, Scripted(), memory, evolving(founders(talker, memory)))
    found = set()
    for run in memory.runs.all():
        for event in history(memory, run.id):
            read = EVENTS.validate_python({"kind": event.kind, **event.payload})
            written = read.model_dump(mode="json", exclude={"kind"}, exclude_unset=True)
            assert written == event.payload
            found.add(event.kind)
        assert told(lines(memory, run)) == on_record(memory, run)
    assert found == KINDS - {"inputs"}  # which only the command line has


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("gossip", {}),
        ("started", {"run": "r"}),
        ("started", {"run": "r", "goal": "g", "mood": "good"}),
        ("evaluated", {"round": 0, "stage": "guess", "candidates": 1, "best": {}}),
    ],
)
def test_what_is_no_event_is_not_written(
    memory: Memory, kind: str, payload: dict[str, Any]
) -> None:
    run = memory.runs.start("g", student="s", fingerprint="f", controller="c", seed=0, settings={})
    with pytest.raises(ValidationError):
        record_event(memory, run.id, kind, payload, key="k")
    assert memory.runs.events(run.id) == []


def test_the_file_grows_with_the_run_and_is_made_anew(talker: Student, memory: Memory) -> None:
    run = stopped_at("extracted", talker, memory)
    assert [row["kind"] for row in lines(memory, run)][-1] == "extracted"
    file = events_file(memory, run.id)
    file.write_text("half a li")
    resume_run(run.id, talker, Scripted(), memory)
    rows = lines(memory, run)
    assert rows[-1]["kind"] == "reported"
    assert told(rows) == on_record(memory, run)
    assert {row["run_id"] for row in rows} == {run.id}
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_nobody_is_told_twice(talker: Student, memory: Memory, tmp_path: Path) -> None:
    heard: list[str] = []

    def stop(kind: str, payload: object) -> None:
        heard.append(kind)
        if kind == "evaluated" and heard.count(kind) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_goal(talker, Scripted(), memory, settings(), listener=stop)
    [run] = memory.runs.all()
    resume_run(run.id, talker, Scripted(), memory, listener=lambda kind, _: heard.append(kind))
    assert heard == [event.kind for event in memory.runs.events(run.id)]
