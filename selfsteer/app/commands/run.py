"""`selfsteer run`: the loop for one goal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfsteer.app import options
from selfsteer.app.controllers import Deciders, check_deciders
from selfsteer.app.loading import load_student, named_meaning, open_memory
from selfsteer.app.output import explain
from selfsteer.app.parsing import parse_approve, parse_roles, parse_strengths
from selfsteer.app.settings import AppSettings
from selfsteer.errors import BudgetError, SelfsteerError

if TYPE_CHECKING:
    from selfsteer.agents.settings import RunSettings

# What people call the fields of the settings.
_NAMES = {
    "text": "GOAL",
    "rounds": "--budget-rounds",
    "candidates": "--budget-candidates",
    "generated_tokens": "--budget-tokens",
    "controller_calls": "--budget-calls",
    "controller_tokens": "--budget-controller-tokens",
    "money": "--budget-money",
    "minutes": "--budget-minutes",
    **{
        name: f"--{name}"
        for name in ("steerability", "coherence", "broken", "retention", "strengths")
    },
}


def run(
    goal: Annotated[
        str, typer.Argument(metavar="GOAL", help="What the student should do, in a sentence.")
    ],
    student: options.StudentName = "pocket",
    controller: Annotated[
        str, typer.Option(help="Who decides: self, search, claude or openai.")
    ] = "self",
    model: Annotated[
        str | None,
        typer.Option(
            help="The large model that claude or openai asks. Default: SELFSTEER_MODEL.",
            show_default=False,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="A server that speaks the provider's API. Default: SELFSTEER_BASE_URL, or the "
            "provider's own.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=CONTROLLER",
            help="Another controller for propose, choose, judge or reflect; may be repeated.",
        ),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="Let claude judge in batches, which come later and cost less."
        ),
    ] = False,
    dataset: Annotated[
        Path | None, typer.Option(help="Contrastive pairs (JSON lines) for `search` to learn from.")
    ] = None,
    capability: Annotated[
        Path | None,
        typer.Option(help='Questions for retention: lines of {"question", "answers": [...]}.'),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Strengths to search, in residual norms."),
    ] = None,
    steerability: Annotated[
        float | None, typer.Option(help="Least share of fitting replies.")
    ] = None,
    coherence: Annotated[float | None, typer.Option(help="Greatest perplexity ratio.")] = None,
    broken: Annotated[
        float | None, typer.Option(help="Greatest share of replies that steering breaks.")
    ] = None,
    retention: Annotated[float | None, typer.Option(help="Least share of abilities left.")] = None,
    budget_rounds: Annotated[int | None, typer.Option(help="Limit of rounds.")] = None,
    budget_candidates: Annotated[int | None, typer.Option(help="Limit of candidates.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Limit of generated tokens.")] = None,
    budget_calls: Annotated[
        int | None, typer.Option(help="Limit of calls to a paid controller.")
    ] = None,
    budget_controller_tokens: Annotated[
        int | None, typer.Option(help="Limit of tokens that a paid controller reads and writes.")
    ] = None,
    budget_money: Annotated[
        float | None, typer.Option(help="Limit of US dollars for a paid controller.")
    ] = None,
    budget_minutes: Annotated[float | None, typer.Option(help="Limit of minutes.")] = None,
    approve: Annotated[
        str | None,
        typer.Option(metavar="data,plan", help="What waits for `selfsteer approve`, by commas."),
    ] = None,
    on_ambiguous: options.OnAmbiguous = "ask",
    timeout: options.Timeout = None,
    seed: options.Seed = 0,
    user: Annotated[
        str | None,
        typer.Option(
            help="Whom the run is for: it is forgotten with that user, and recalled for nobody "
            "else.",
            show_default=False,
        ),
    ] = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Recall no vector of an earlier run.")
    ] = False,
    db: options.Db = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: options.Json = False,
) -> None:
    """Steer a student towards a goal; exit code 0 if the goal is reached, 1 if it is not, 3 if the
    run waits for approval."""
    limits = {
        "rounds": budget_rounds,
        "candidates": budget_candidates,
        "generated_tokens": budget_tokens,
        "controller_calls": budget_calls,
        "controller_tokens": budget_controller_tokens,
        "money": budget_money,
        "minutes": budget_minutes,
    }
    thresholds = {
        "steerability": steerability,
        "coherence": coherence,
        "broken": broken,
        "retention": retention,
    }
    settings = _settings(
        goal, limits, thresholds, strengths, seed, use_memory=not no_memory, approve=approve
    )
    defaults = AppSettings()
    who = Deciders(
        controller=controller,
        model=model or defaults.model,
        base_url=base_url or defaults.base_url,
        roles=parse_roles(role or ()),
        batch=batch,
        timeout=defaults.timeout if timeout is None else timeout,
    )
    check_deciders(who)
    from selfsteer.agents.loop import run_goal
    from selfsteer.app.concluding import conclude
    from selfsteer.app.conducting import conducted
    from selfsteer.app.inputs import Inputs
    from selfsteer.app.watch import say_stopped
    from selfsteer.memory.runs import fresh_id
    from selfsteer.steering.capability import load_capability
    from selfsteer.steering.datasets import ContrastiveDataset

    pairs = None if dataset is None else ContrastiveDataset.load(dataset, concept=goal)
    questions = None if capability is None else load_capability(capability)
    meaning = None if no_memory else named_meaning(load=True)
    with open_memory(db) as memory:
        if user is not None:
            memory.users.get(user)  # before the student is loaded, which takes long
        steered = load_student(student, device, dtype)
        run_id = fresh_id()
        inputs = Inputs.store(
            memory,
            student=student,
            device=device or defaults.device,
            dtype=dtype or defaults.dtype,
            dataset=pairs,
            capability=questions,
            who=who,
        )
        with conducted(
            memory, run_id, settings, steered, inputs, on_ambiguous=on_ambiguous
        ) as conduct:
            ended = run_goal(
                steered,
                conduct.decider,
                memory,
                settings,
                capability=inputs.capability(memory),
                listener=conduct.listener,
                control=conduct.control,
                run_id=run_id,
                user_id=user,
                meaning=meaning,
            )
        if ended.status == "stopped":
            say_stopped(memory, run_id)
        paid = memory.ledger.paid(run_id)
    conclude(ended, paid, memory.path, json_=json_)


def _settings(
    goal: str,
    limits: Mapping[str, float | None],
    thresholds: Mapping[str, float | None],
    strengths: str | None,
    seed: int,
    *,
    use_memory: bool,
    approve: str | None,
) -> RunSettings:
    """The settings of a run; refuses what makes no sense before anything is loaded."""
    bounds = None if strengths is None else parse_strengths(strengths)
    approved = frozenset() if approve is None else parse_approve(approve)
    from pydantic import ValidationError

    from selfsteer.agents.budget import Budget
    from selfsteer.agents.settings import RunSettings
    from selfsteer.agents.types import Goal, Thresholds

    try:
        budget = Budget.model_validate(_given(limits))
    except ValidationError as error:
        raise BudgetError(explain(error, _NAMES)) from error
    try:
        wanted = Goal(text=goal, thresholds=Thresholds.model_validate(_given(thresholds)))
        return RunSettings(
            goal=wanted,
            budget=budget,
            seed=seed,
            use_memory=use_memory,
            strengths=bounds,
            approve=approved,
        )
    except ValidationError as error:
        raise SelfsteerError(explain(error, _NAMES)) from error


def _given(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
