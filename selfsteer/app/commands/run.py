"""`selfsteer run` and `selfsteer resume`: the loop for one goal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.controllers import Deciders, check_deciders
from selfsteer.app.loading import load_student, named_meaning, open_memory
from selfsteer.app.output import explain, literal, paid_words, plan_lines, print_json, stdout
from selfsteer.app.settings import AppSettings
from selfsteer.errors import BudgetError, ControllerError, MemoryFileError, SelfsteerError

if TYPE_CHECKING:
    from selfsteer.agents.approval import What
    from selfsteer.agents.settings import RunSettings
    from selfsteer.memory.records import Paid, Run

WAITING = 3  # exit code
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
    _conclude(ended, paid, json_=json_)


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
    from selfsteer.agents.settings import RunSettings
    from selfsteer.app.commands.evolve import conclude_evolution
    from selfsteer.app.conducting import conducted
    from selfsteer.app.inputs import Inputs
    from selfsteer.app.watch import say_stopped

    with open_memory(db) as memory:
        stopped = memory.runs.get(run_id)
        _check_unfinished(stopped)
        if stopped.status == "waiting":
            check_answered(memory, run_id)
        inputs = Inputs.of_run(memory, stopped)
        model = load_student(student or inputs.student, device or inputs.device, inputs.dtype)
        evolves = is_evolution(stopped.settings)
        kind = EvolveSettings if evolves else RunSettings
        settings = kind.model_validate(stopped.settings)
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
    _conclude(ended, paid, json_=json_)


def parse_roles(words: Sequence[str]) -> dict[str, str]:
    """Read `ROLE=CONTROLLER`, each.

    Raises:
        ControllerError: no equals sign, or a role that is given twice.
    """
    roles: dict[str, str] = {}
    for word in words:
        role, equals, name = word.partition("=")
        if not (role and equals and name) or role in roles:
            raise ControllerError(
                f"--role must be ROLE=CONTROLLER, each role once, such as judge=self, not {word!r}."
            )
        roles[role] = name
    return roles


def parse_strengths(text: str) -> tuple[float, float]:
    """Read `LOW:HIGH`.

    Raises:
        SelfsteerError: not two numbers with a colon between them.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise SelfsteerError(
            f"--strengths must be LOW:HIGH, two numbers above 0 such as 0.2:2.5, not {text!r}."
        )
    return low, high


def parse_approve(text: str) -> frozenset[What]:
    """Read `data`, `plan` or both with a comma between them.

    Raises:
        SelfsteerError: something else.
    """
    known: dict[str, What] = {"data": "data", "plan": "plan"}
    names = [name.strip() for name in text.split(",")]
    if not all(name in known for name in names):
        raise SelfsteerError(f"--approve must be data, plan or data,plan, not {text!r}.")
    return frozenset(known[name] for name in names)


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


def _check_unfinished(stopped: Run) -> None:
    """Before the student is loaded, which takes long and would be for nothing."""
    if stopped.status in ("accepted", "rejected"):
        raise MemoryFileError(
            f"Run {stopped.id} ended as {stopped.status}; there is nothing to resume."
        )


def _conclude(ended: Run, paid: Paid, *, json_: bool) -> None:
    """Print what a run came to and what it paid for, and set the exit code."""
    from selfsteer.agents.steps import steps_of_verdict
    from selfsteer.app.draining import DRAINED

    verdict: dict[str, Any] = ended.verdict or {}
    if ended.status == "stopped":
        raise typer.Exit(DRAINED)
    if ended.status == "waiting" and not json_:
        stdout().print(literal(f"waiting for approval; look with: selfsteer approve {ended.id}"))
    elif json_:
        print_json(
            {
                "run": ended.id,
                "goal": ended.goal,
                "student": ended.student,
                "controller": ended.controller,
                "seed": ended.seed,
                "status": ended.status,
                "verdict": verdict,
                "paid": paid.model_dump(),
                "seconds": round(ended.seconds, 3),
            }
        )
    else:
        console = stdout()
        console.print(literal(f"{ended.status}: {verdict.get('reason', '')}"))
        for line in plan_lines(steps_of_verdict(verdict)):
            console.print(literal(line))
        if paid.calls:
            console.print(literal(f"paid: {paid_words(paid)}"))
        console.print(literal(f"{ended.seconds:.1f} s; for a page: selfsteer report {ended.id}"))
    if ended.status != "accepted":
        raise typer.Exit(WAITING if ended.status == "waiting" else 1)
