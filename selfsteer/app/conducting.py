"""What stands around a run of either kind: who decides and pays, what is shown, what stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from langgraph.runtime import RunControl

from selfsteer.agents.controller import Controller
from selfsteer.agents.paid_calls import OnAmbiguous
from selfsteer.agents.settings import RunSettings
from selfsteer.app.controllers import Payer, build_controller
from selfsteer.app.draining import drained_by_sigterm
from selfsteer.app.inputs import Inputs
from selfsteer.app.watch import watch
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student


class Conduct(NamedTuple):
    """Who decides in a run, whom it tells what happens, and what asks it to stop."""

    decider: Controller
    listener: Callable[[str, Mapping[str, Any]], None]
    control: RunControl


@contextmanager
def conducted(
    memory: Memory,
    run_id: str,
    settings: RunSettings,
    student: Student,
    inputs: Inputs,
    *,
    on_ambiguous: OnAmbiguous,
    resumed: bool = False,
) -> Iterator[Conduct]:
    """SIGTERM lets the run end its step, Ctrl-C ends it, and its progress is shown meanwhile.

    Args:
        inputs: who decides, and by which pairs; kept with a run that is new.

    Raises:
        ControllerError: a controller that cannot be built.
        typer.Exit, MemoryFileError: as `watch` does.
    """
    with drained_by_sigterm() as control:
        payer = Payer(memory, run_id, settings.budget, on_ambiguous, control)
        decider = build_controller(inputs.who, student, inputs.dataset(memory), payer)
        with watch(memory, settings, inputs, run_id if resumed else None) as listener:
            yield Conduct(decider, listener, control)
