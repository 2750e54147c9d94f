"""A run's history as events: what it told, its candidates and its rounds, in order."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from selfsteer.memory import connection, runs
from selfsteer.memory.history import candidates_of, history, rounds_of
from selfsteer.memory.records import Candidate, Round
from selfsteer.memory.store import Memory


@pytest.fixture
def run_id(memory: Memory) -> str:
    return memory.runs.start(
        "goal", student="s", fingerprint="f", controller="c", seed=0, settings={}
    ).id


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is put on record has a moment of its own."""
    moments = count()
    for module in (connection, runs):
        monkeypatch.setattr(module, "now", lambda: f"2026-01-01T00:00:{next(moments):02}.000+00:00")


def look(run_id: str, number: int, **changes: Any) -> Candidate:
    plan: dict[str, Any] = {"edits": [{"strength": 0.5}]}
    wanted: dict[str, Any] = {"round": 0, "split": "development", "n": 4, "plan": plan} | changes
    return Candidate(run_id=run_id, number=number, details={"stage": "search"}, **wanted)


def fill(memory: Memory, run_id: str) -> None:
    memory.runs.add_event(run_id, "search_space", {"round": 0})
    memory.runs.add_candidates([look(run_id, 0, steerability=0.25), look(run_id, 1)])
    memory.runs.add_event(run_id, "evaluated", {"round": 0})
    memory.runs.add_candidates([look(run_id, 2, coherence=1.5)])
    memory.runs.add_round(Round(run_id=run_id, number=0, decision="confirm", reason="good"))
    memory.runs.add_event(run_id, "reflected", {"round": 0})


@pytest.mark.usefixtures("ticking")
def test_every_row_is_told_where_it_was_put_on_record(memory: Memory, run_id: str) -> None:
    fill(memory, run_id)
    told = history(memory, run_id)
    kinds = "search_space candidate candidate evaluated candidate round reflected".split()
    assert [event.kind for event in told] == kinds
    assert [event.sequence for event in told] == list(range(1, 8))
    assert {event.run_id for event in told} == {run_id}


def test_nothing_of_a_row_is_lost(memory: Memory, run_id: str) -> None:
    fill(memory, run_id)
    told = history(memory, run_id)
    assert candidates_of(told) == memory.runs.candidates(run_id)
    assert rounds_of(told) == memory.runs.rounds(run_id)
    others = [event.kind for event in told if event.kind not in ("candidate", "round")]
    assert others == [event.kind for event in memory.runs.events(run_id)]


@pytest.mark.usefixtures("ticking")
def test_a_run_that_goes_on_adds_to_the_end(memory: Memory, run_id: str) -> None:
    fill(memory, run_id)
    before = history(memory, run_id)
    memory.runs.add_candidates([look(run_id, 0, split="confirmation")])
    memory.runs.add_event(run_id, "confirmed", {})
    after = history(memory, run_id)
    assert after[: len(before)] == before
    assert [event.kind for event in after[len(before) :]] == ["candidate", "confirmed"]


def test_in_the_same_moment_a_row_goes_before_what_is_told_of_it(
    memory: Memory, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "now", lambda: "2026-01-01T00:00:00.000+00:00")
    memory.runs.add_candidates([look(run_id, 0)])
    memory.runs.add_event(run_id, "evaluated", {"round": 0})
    assert [event.kind for event in history(memory, run_id)] == ["candidate", "evaluated"]
