"""The history of runs."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Candidate, Memory, Round, Run
from selfsteer.steering.vectors import SteeringVector


def candidate(run: Run, number: int = 0, **fields: object) -> Candidate:
    values = {
        "round": 1,
        "split": "development",
        "plan": {"edits": [{"layers": [2], "strength": 0.5}]},
        "steerability": 0.75,
        "n": 40,
    }
    return Candidate(run_id=run.id, number=number, **(values | fields))


def test_a_run_from_start_to_verdict(memory: Memory, run: Run) -> None:
    assert run == memory.runs.get(run.id)
    assert (run.status, run.verdict, run.finished) == ("running", None, None)
    memory.runs.store_verdict(run.id, {"accepted": True, "reason": "met"})
    done = memory.runs.finish(run.id, "accepted", seconds=12.5)
    assert done == memory.runs.get(run.id)
    assert (done.status, done.seconds) == ("accepted", 12.5)
    assert done.verdict == {"accepted": True, "reason": "met"}
    assert run.started <= str(done.verdict_stored) <= str(done.finished)
    assert done.settings == {"rounds": 4}


def test_runs_are_listed_newest_first(memory: Memory, start_run: Callable[..., Run]) -> None:
    runs = [start_run(memory, goal) for goal in ("one", "two", "three")]
    assert [run.goal for run in memory.runs.all()] == ["three", "two", "one"]
    assert len({run.id for run in runs}) == 3


def test_an_unknown_run_is_named(memory: Memory) -> None:
    for call in (memory.runs.get, memory.runs.resume):
        with pytest.raises(MemoryFileError, match="no run nobody"):
            call("nobody")
    with pytest.raises(MemoryFileError, match="no run nobody"):
        memory.runs.finish("nobody", "failed", seconds=0)
    with pytest.raises(MemoryFileError, match="no run nobody"):
        memory.runs.store_verdict("nobody", {})


def test_text_that_is_not_unicode_is_refused(memory: Memory, start_run: Callable[..., Run]) -> None:
    with pytest.raises(MemoryFileError, match="UTF-8"):
        start_run(memory, "half a \ud800 pair")
    assert memory.runs.all() == []


def test_a_stopped_run_resumes_and_its_time_adds_up(memory: Memory, run: Run) -> None:
    assert memory.runs.finish(run.id, "stopped", seconds=2).finished is not None
    resumed = memory.runs.resume(run.id)
    assert (resumed.status, resumed.finished, resumed.seconds) == ("running", None, 2)
    assert memory.runs.finish(run.id, "rejected", seconds=3).seconds == 5


def test_a_killed_run_resumes(memory: Memory, run: Run) -> None:
    assert memory.runs.resume(run.id).status == "running"


@pytest.mark.parametrize("status", ["accepted", "rejected"])
def test_an_ended_run_does_not_resume(memory: Memory, run: Run, status: str) -> None:
    memory.runs.finish(run.id, status, seconds=0)  # type: ignore[arg-type]
    with pytest.raises(MemoryFileError, match=f"ended as {status}"):
        memory.runs.resume(run.id)


def test_the_first_verdict_stands(memory: Memory, run: Run) -> None:
    first = memory.runs.store_verdict(run.id, {"accepted": False})
    assert memory.runs.store_verdict(run.id, {"accepted": True}) == first
    with (
        pytest.raises(sqlite3.IntegrityError, match="verdict is final"),
        memory._connection.write() as db,
    ):
        db.execute("UPDATE runs SET verdict = NULL")


def test_report_probes_wait_for_the_verdict(memory: Memory, run: Run) -> None:
    report = candidate(run, split="report")
    with pytest.raises(MemoryFileError, match="no verdict yet"):
        memory.runs.add_candidates([candidate(run), report])
    assert memory.runs.candidates(run.id) == []
    memory.runs.store_verdict(run.id, {"accepted": True})
    memory.runs.add_candidates([report])
    assert len(memory.runs.candidates(run.id, "report")) == 1


def test_the_database_itself_keeps_report_probes_shut(memory: Memory, run: Run) -> None:
    row = candidate(run, split="report").to_row()
    with (
        pytest.raises(sqlite3.IntegrityError, match="only after the verdict"),
        memory._connection.write() as db,
    ):
        db["candidates"].insert(row)


def test_rounds_in_order_with_what_they_used(
    memory: Memory, run: Run, vector: SteeringVector
) -> None:
    memory.put_vector(vector)
    for number in (1, 2):
        memory.runs.add_round(
            Round(
                run_id=run.id,
                number=number,
                vector_id=vector.id,
                decision="narrow",
                reason="weak at layer 0",
                details={"evidence": [{"layer": 0, "auroc": 0.7}]},
            )
        )
    rounds = memory.runs.rounds(run.id)
    assert [turn.number for turn in rounds] == [1, 2]
    assert rounds[0].details == {"evidence": [{"layer": 0, "auroc": 0.7}]}
    assert rounds[0].created >= run.started


def test_a_round_names_stored_vectors_only(memory: Memory, run: Run) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        memory.runs.add_round(
            Round(run_id=run.id, number=1, vector_id="0" * 16, decision="accept", reason="")
        )


def test_candidates_come_back_in_order_and_by_split(memory: Memory, run: Run) -> None:
    replies = memory.put_generations([{"reply": "hm"}])
    added = [
        candidate(run, 0, details={"repetition": 0.1}, generations_id=replies),
        candidate(run, 1, coherence=math.inf, retention=0.5),
        candidate(run, 0, arm="base", plan={"edits": []}),
        candidate(run, 0, split="confirmation", steerability=math.nan),
    ]
    memory.runs.add_candidates(added)
    read = memory.runs.candidates(run.id)
    assert [row.model_copy(update={"created": ""}) for row in read] == added
    assert read[3].steerability is None
    assert memory.runs.candidates(run.id, "confirmation") == read[3:]


def test_what_waits_or_stopped_has_not_ended(memory: Memory, start_run: Callable[..., Run]) -> None:
    runs = {}
    for status in ("accepted", "rejected", "failed", "stopped", "waiting"):
        runs[status] = start_run(memory).id
        memory.runs.finish(runs[status], status, seconds=1.0)
    start_run(memory)
    assert memory.runs.ended() == {runs["accepted"], runs["rejected"]}
    assert memory.runs.resume(runs["waiting"]).status == "running"


def test_a_node_that_runs_again_adds_nothing(memory: Memory, run: Run) -> None:
    turn = Round(run_id=run.id, number=1, decision="accept", reason="first")
    for _ in range(2):
        memory.runs.add_round(turn)
        memory.runs.add_candidates([candidate(run, 0), candidate(run, 1)])
        memory.runs.add_event(run.id, "judged", {"n": 2}, key="round-1/judge")
    memory.runs.add_round(turn.model_copy(update={"reason": "second"}))
    assert [row.reason for row in memory.runs.rounds(run.id)] == ["first"]
    assert len(memory.runs.candidates(run.id)) == 2
    assert len(memory.runs.events(run.id)) == 1


def test_events_are_numbered_within_their_run(
    memory: Memory, run: Run, start_run: Callable[..., Run]
) -> None:
    other = start_run(memory)
    for number in range(3):
        memory.runs.add_event(run.id, "progress", {"number": number})
        memory.runs.add_event(other.id, "progress", {"number": number})
    assert [event.sequence for event in memory.runs.events(run.id)] == [1, 2, 3]
    assert [event.payload["number"] for event in memory.runs.events(run.id, after=1)] == [1, 2]


@pytest.mark.parametrize("table", ["rounds", "candidates", "events"])
def test_history_cannot_be_rewritten(memory: Memory, run: Run, table: str) -> None:
    memory.runs.add_round(Round(run_id=run.id, number=1, decision="accept", reason=""))
    memory.runs.add_candidates([candidate(run)])
    memory.runs.add_event(run.id, "note", {})
    with (
        pytest.raises(sqlite3.IntegrityError, match="only ever added"),
        memory._connection.write() as db,
    ):
        db.execute(f"UPDATE {table} SET run_id = run_id")


def test_what_was_asked_cannot_be_rewritten(memory: Memory, run: Run) -> None:
    with (
        pytest.raises(sqlite3.IntegrityError, match="never rewritten"),
        memory._connection.write() as db,
    ):
        db.execute("UPDATE runs SET goal = 'something easier'")


def test_records_refuse_what_they_are_not(run: Run) -> None:
    with pytest.raises(ValidationError):
        candidate(run, split="test")
    with pytest.raises(ValidationError):
        candidate(run, steerabilty=0.5)
