"""`selfsteer resume`: going on with a run that was stopped, of either kind."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_student, named_meaning, open_memory
from selfsteer.errors import MemoryFileError

if TYPE_CHECKING:
    from selfsteer.memory.records import Run


def resume(
    run_id: options.RunId,
    student: Annotated[
        str | None, typer.Option(help="Where the student lies now, if it was moved.")
    ] = None,
    db: options.Db = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where the large model is asked now, if it was moved.")
    ] = None,
    device: options.Device = None,
    on_ambiguous: options.OnAmbiguous = "ask",
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that the large model may send nothing, if that is to change."),
    ] = None,
    json_: options.Json = False,
) -> None:
    """Go on with a run that was stopped; exit codes as those of `run`."""
    from selfsteer.agents.approval import check_answered
    from selfsteer.agents.evolve import resume_evolution
    from selfsteer.agents.evolving.settings import EvolveSettings, is_evolution
    from selfsteer.agents.loop import resume_run
    from selfsteer.agents.settings import RunSettings, settings_of
    from selfsteer.app.commands.evolve import conclude_evolution
    from selfsteer.app.concluding import conclude
    from selfsteer.app.conducting import conducted
    from selfsteer.app.inputs import Inputs
    from selfsteer.app.watch import say_stopped

    # Read first, so that a mistake creates no file.
    with open_memory(db, read_only=True) as memory:
        stopped = memory.runs.get(run_id)
        _check_unfinished(stopped)
        if stopped.status == "waiting":
            check_answered(memory, run_id)
        inputs = Inputs.of_run(memory, stopped)
    evolves = is_evolution(stopped.settings)
    settings = settings_of(stopped, EvolveSettings if evolves else RunSettings)
    with open_memory(db) as memory:
        model = load_student(student or inputs.student, device or inputs.device, inputs.dtype)
        changes = {"base_url": base_url, "timeout": timeout}
        given = {name: value for name, value in changes.items() if value is not None}
        inputs = inputs.model_copy(update={"who": inputs.who.model_copy(update=given)})
        go_on = (
            partial(resume_evolution, dataset=inputs.dataset(memory))
            if evolves
            else partial(resume_run, meaning=named_meaning(load=False))
        )
        with conducted(
            memory, run_id, settings, model, inputs, on_ambiguous=on_ambiguous, resumed=True
        ) as conduct:
            ended = go_on(
                run_id,
                model,
                conduct.decider,
                memory,
                capability=inputs.capability(memory),
                listener=conduct.listener,
                control=conduct.control,
            )
        if ended.status == "stopped":
            say_stopped(memory, run_id)
        if evolves:
            conclude_evolution(memory, ended, None, json_=json_)
            return
        paid = memory.ledger.paid(run_id)
    conclude(ended, paid, memory.path, json_=json_)


def _check_unfinished(stopped: Run) -> None:
    """Before the student is loaded, which takes long and would be for nothing."""
    if stopped.status in ("accepted", "rejected"):
        raise MemoryFileError(
            f"Run {stopped.id} ended as {stopped.status}; there is nothing to resume."
        )
