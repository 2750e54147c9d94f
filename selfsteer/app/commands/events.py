"""`selfsteer events`: what a run has told, and tells, as JSON lines."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import open_memory

_PAUSE = 0.5  # seconds between two looks


def events(
    run_id: options.RunId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait for more until the run stops or ends.")
    ] = False,
    db: options.Db = None,
) -> None:
    """Print what a run told and what it tried, one JSON object a line."""
    from selfsteer.memory.export import event_lines
    from selfsteer.memory.history import history

    printed = 0
    with open_memory(db, read_only=True) as memory:
        while True:
            # In this order: what a run tells last, it tells before it ends.
            running = memory.runs.get(run_id).status == "running"
            new = history(memory, run_id)[printed:]
            for line in event_lines(new):
                print(line, flush=True)
            printed += len(new)
            if not (follow and running):
                return
            time.sleep(_PAUSE)
