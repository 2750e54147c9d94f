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
    """Print the events of a run, one JSON object a line."""
    from selfsteer.memory.export import event_lines

    last = 0
    with open_memory(db, read_only=True) as memory:
        while True:
            # In this order: what a run tells last, it tells before it ends.
            running = memory.runs.get(run_id).status == "running"
            new = memory.runs.events(run_id, after=last)
            for line in event_lines(new):
                print(line, flush=True)
            last = new[-1].sequence if new else last
            if not (follow and running):
                return
            time.sleep(_PAUSE)
