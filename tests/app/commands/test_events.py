"""`events`: a run as JSON lines, and what it tells while one looks."""

from __future__ import annotations

import json

import pytest

from selfsteer.app.commands import events as module
from selfsteer.memory.history import history
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from tests.app.conftest import Cli


def test_events_are_lines_of_json(cli: Cli, accepted: Run, memory: Memory) -> None:
    rows = [json.loads(line) for line in cli("events", accepted.id).stdout.splitlines()]
    expected = history(memory, accepted.id)
    assert [(row["kind"], row["payload"]) for row in rows] == [
        (event.kind, event.payload) for event in expected
    ]
    assert cli("events", accepted.id, "--follow").stdout == cli("events", accepted.id).stdout


def test_a_run_is_followed_to_its_end(
    cli: Cli, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = memory.runs.start("g", student="s", fingerprint="f", controller="c", seed=0, settings={})
    memory.runs.add_event(run.id, "first", {})
    left = ["second", "third"]

    def pause(seconds: float) -> None:
        memory.runs.add_event(run.id, left.pop(0), {})
        if not left:
            memory.runs.finish(run.id, "rejected", seconds=1.0)

    monkeypatch.setattr(module.time, "sleep", pause)
    rows = [json.loads(line) for line in cli("events", run.id, "--follow").stdout.splitlines()]
    assert [row["kind"] for row in rows] == ["first", "second", "third"]


def test_events_of_no_run(cli: Cli, memory: Memory) -> None:
    result = cli("events", "beef")
    assert result.exit_code == 2
    assert "holds no run beef" in result.stderr
