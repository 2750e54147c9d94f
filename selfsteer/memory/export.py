"""The history of a run as JSON lines: a copy for other programs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from selfsteer.errors import MemoryFileError
from selfsteer.memory.history import history
from selfsteer.memory.records import Event, to_json
from selfsteer.memory.store import Memory


def event_lines(events: Iterable[Event]) -> Iterator[str]:
    """Each event as one JSON object, without the end of the line."""
    for event in events:
        yield to_json(event.model_dump(exclude={"key"}))


def events_file(memory: Memory, run_id: str) -> Path:
    """Where the events of a run are written: a folder beside the memory."""
    return memory.path.with_name(f"{memory.path.name}.events") / f"{run_id}.jsonl"


def write_events(memory: Memory, run_id: str) -> Path:
    """Write the history of a run anew; a reader finds the old file or the new one, never a part.

    Raises:
        MemoryFileError: the file cannot be written.
    """
    path = events_file(memory, run_id)
    half = path.with_name(f".{path.name}.tmp")
    memory.files.note("events", path, run_ids=[run_id])
    try:
        path.parent.mkdir(exist_ok=True)
        lines = event_lines(history(memory, run_id))
        half.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        os.replace(half, path)
    except OSError as error:
        raise MemoryFileError(f"Cannot write the events {path}: {error.strerror}.") from error
    return path
