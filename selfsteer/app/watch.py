"""Watching a run: what it tells is shown, and whatever stops it is put into words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from selfsteer.agents.evolving.settings import EvolveSettings
from selfsteer.agents.settings import RunSettings
from selfsteer.app.evolve_view import EvolutionDisplay
from selfsteer.app.hints import command
from selfsteer.app.inputs import Inputs
from selfsteer.app.output import literal, stderr
from selfsteer.app.progress import Display
from selfsteer.errors import MemoryFileError
from selfsteer.memory.store import Memory


@contextmanager
def watch(
    memory: Memory, settings: RunSettings, inputs: Inputs, run_id: str | None = None
) -> Iterator[Callable[[str, Mapping[str, Any]], None]]:
    """A listener for the loop that shows the run and keeps its inputs with it.

    Args:
        inputs: what a new run is started with.
        run_id: of a run that is resumed; a new one tells its id.

    Raises:
        typer.Exit: with code 130 on Ctrl-C, after the way to go on was printed.
        MemoryFileError: the file of the checkpoints cannot be used.
    """
    known = [] if run_id is None else [run_id]
    display = _display(settings)
    if run_id is not None:
        display.catch_up(memory.runs.events(run_id))

    def listen(kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "started":
            known.append(str(payload["run"]))
            inputs.attach(memory, known[-1])
        display(kind, payload)

    try:
        with display:
            yield listen
    except KeyboardInterrupt:
        say_stopped(memory, known[-1] if known else None)
        raise typer.Exit(130) from None
    except sqlite3.Error as error:
        # The memory puts its own mishaps into words; the checkpoints do not.
        raise MemoryFileError(
            f"The checkpoints beside {memory.path} cannot be used ({error}); check the disk, or "
            "delete the file, which loses the place of stopped runs."
        ) from error


def _display(settings: RunSettings) -> Display | EvolutionDisplay:
    """What shows a run of this kind."""
    if isinstance(settings, EvolveSettings):
        return EvolutionDisplay(stderr(), settings)
    return Display(stderr(), settings.goal.text, settings)


def say_stopped(memory: Memory, run_id: str | None) -> None:
    """Tell how a run that was stopped goes on; None where it had not begun."""
    hint = "" if run_id is None else f"; go on with: {command(f'resume {run_id}', memory.path)}"
    stderr().print(literal(f"stopped{hint}"))
