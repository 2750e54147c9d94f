"""Events as JSON lines, beside the memory."""

from __future__ import annotations

import json

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory, Run
from selfsteer.memory.export import event_lines, events_file, write_events


def test_each_event_is_one_line(memory: Memory, run: Run) -> None:
    memory.runs.add_event(run.id, "note", {"text": "two\nlines \u2028 é"}, key="a")
    memory.runs.add_event(run.id, "note", {}, key="b")
    path = write_events(memory, run.id)
    assert path == events_file(memory, run.id)
    first, second = path.read_bytes().decode().removesuffix("\n").split("\n")
    read = json.loads(first)
    assert read["payload"] == {"text": "two\nlines \u2028 é"}
    assert (read["sequence"], read["kind"], read["run_id"]) == (1, "note", run.id)
    assert [first, second] == list(event_lines(memory.runs.events(run.id)))


def test_a_file_that_cannot_be_written_is_named(memory: Memory, run: Run) -> None:
    events_file(memory, run.id).parent.write_text("in the way")
    with pytest.raises(MemoryFileError, match=f"Cannot write the events .*{run.id}.jsonl"):
        write_events(memory, run.id)
