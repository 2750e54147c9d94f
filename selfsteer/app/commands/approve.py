"""`selfsteer approve`: what a run waits for, and the answer to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.hints import command
from selfsteer.app.loading import open_memory
from selfsteer.app.output import (
    explain,
    figure,
    literal,
    place,
    plan_lines,
    print_json,
    stdout,
    table,
)
from selfsteer.errors import ControllerError, SelfsteerError

if TYPE_CHECKING:
    from selfsteer.agents.approval import Answer, Asked
    from selfsteer.agents.types import CandidateSpec
    from selfsteer.memory.store import Memory

_PAIRS_SHOWN = 12


def approve(
    run_id: options.RunId,
    accept: Annotated[bool, typer.Option("--accept", help="Go on with it as it is.")] = False,
    edit: Annotated[
        Path | None,
        typer.Option(help="Go on with this instead: pairs, or a candidate, as --json shows them."),
    ] = None,
    refuse: Annotated[
        str | None, typer.Option(metavar="REASON", help="End the run, for this reason.")
    ] = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Show what a run waits for, or answer it; `resume` then goes on."""
    if accept + (edit is not None) + (refuse is not None) > 1:
        raise SelfsteerError("Give one of --accept, --edit and --refuse, not several.")
    from selfsteer.agents import approval

    with open_memory(db, read_only=not accept and edit is None and refuse is None) as memory:
        asked = approval.question_of(memory, run_id)
        if accept:
            _conclude(memory, run_id, approval.accept(memory, run_id), json_=json_)
        elif edit is not None:
            _conclude(memory, run_id, _edit(memory, run_id, asked, edit), json_=json_)
        elif refuse is not None:
            if not refuse.strip():
                raise SelfsteerError("--refuse needs a reason; the run's verdict will say it.")
            _conclude(memory, run_id, approval.refuse(memory, run_id, refuse), json_=json_)
        elif json_:
            print_json({"run": run_id, **_content(memory, asked)})
        else:
            _show(memory, asked)


def _edit(memory: Memory, run_id: str, asked: Asked, path: Path) -> Answer:
    from selfsteer.agents import approval
    from selfsteer.steering.datasets import ContrastiveDataset

    if asked.what == "plan":
        return approval.replace_plan(memory, run_id, _read_candidate(path))
    goal = memory.runs.get(run_id).goal
    return approval.replace_data(memory, run_id, ContrastiveDataset.load(path, concept=goal))


def _read_candidate(path: Path) -> CandidateSpec:
    """Read a candidate.

    Raises:
        ControllerError: the file cannot be read, or is no candidate.
    """
    from pydantic import ValidationError

    from selfsteer.agents.types import CandidateSpec

    try:
        return CandidateSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ControllerError(f"Cannot read the candidate {path}: {error.strerror}.") from error
    except ValidationError as error:
        raise ControllerError(f"{path} is no candidate: {explain(error, {})}") from error


def _content(memory: Memory, asked: Asked) -> dict[str, Any]:
    """All that is to be approved, in the form in which `--edit` takes it back."""
    shown: dict[str, Any] = asked.model_dump(mode="json", exclude_none=True)
    if asked.dataset is not None:
        pairs = memory.get_dataset(asked.dataset).pairs
        shown["pairs"] = [pair.model_dump(mode="json", exclude_defaults=True) for pair in pairs]
    return shown


def _show(memory: Memory, asked: Asked) -> None:
    console = stdout()
    if asked.dataset is not None:
        _show_pairs(memory, asked.dataset)
    if asked.candidate is not None:
        spec = asked.candidate
        where = place(spec.site, spec.layer, spec.operator, spec.strength)
        console.print(literal(f"plan: {where}"))
    for line in plan_lines(asked.edits):
        console.print(literal(line))
    if asked.what == "plan":
        console.print(literal(f"why: {asked.reason}"))
    if asked.measured is not None:
        figures = table("on development probes", "measure", "value", right=("value",))
        for name in ("steerability", "coherence", "broken", "retention"):
            figures.add_row(name, figure(getattr(asked.measured, name), 3))
        console.print(figures)
    console.print("answer with --accept, --edit FILE or --refuse REASON")


def _show_pairs(memory: Memory, dataset_id: str) -> None:
    from selfsteer.agents.context import last_user_turn

    pairs = memory.get_dataset(dataset_id).pairs
    shown = table(f"{len(pairs)} pairs to learn from", "asked", "positive", "negative")
    for pair in pairs[:_PAIRS_SHOWN]:
        sides = (pair.positive, pair.negative)
        texts = [side.completion or last_user_turn(side.prompt) for side in sides]
        shown.add_row(*map(literal, (last_user_turn(pair.positive.prompt), *texts)))
    stdout().print(shown)
    if len(pairs) > _PAIRS_SHOWN:
        stdout().print(f"… and {len(pairs) - _PAIRS_SHOWN} more; --json shows all")


def _conclude(memory: Memory, run_id: str, answer: Answer, *, json_: bool) -> None:
    if json_:
        print_json({"run": run_id, **answer.model_dump(mode="json", exclude_none=True)})
    else:
        resume = command(f"resume {run_id}", memory.path)
        stdout().print(literal(f"{answer.answer}; go on with: {resume}"))
