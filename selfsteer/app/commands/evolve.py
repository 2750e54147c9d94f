"""`selfsteer evolve`: generations of selection over vectors, beside random search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.controllers import Deciders, check_deciders
from selfsteer.app.loading import load_student, load_vector, open_memory
from selfsteer.app.output import explain, literal, paid_words, place, print_json, stdout
from selfsteer.app.parsing import parse_strengths
from selfsteer.app.report.writing import check_place
from selfsteer.app.settings import AppSettings
from selfsteer.errors import SelfsteerError

if TYPE_CHECKING:
    from selfsteer.agents.evolving.settings import EvolveSettings
    from selfsteer.memory.records import Run
    from selfsteer.memory.store import Memory

_NAMES = {
    "text": "GOAL",
    "founders": "--from",
    "generations": "--generations",
    "population": "--population",
    "candidates": "--budget-candidates",
    "minutes": "--budget-minutes",
    "money": "--budget-money",
}


def evolve(
    goal: Annotated[
        str, typer.Argument(metavar="GOAL", help="What the student should do, in a sentence.")
    ],
    founders: Annotated[
        list[str],
        typer.Option(
            "--from",
            metavar="VECTOR",
            help="A vector to begin with, a file or an id in memory; repeated for more.",
        ),
    ],
    generations: Annotated[int, typer.Option(help="After the founding one.")] = 6,
    population: Annotated[
        int, typer.Option(help="Individuals of a generation; random search tries as many.")
    ] = 12,
    student: options.StudentName = "pocket",
    controller: Annotated[str, typer.Option(help="Who judges: self, search, claude, openai.")] = (
        "self"
    ),
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
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Contrastive pairs (JSON lines) for `search` to judge by. Default: those that all "
            "founders were extracted from, where memory holds them.",
            show_default=False,
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Strengths to search, in residual norms."),
    ] = None,
    budget_candidates: Annotated[
        int | None,
        typer.Option(help="Limit of evaluations. Default: what the generations need."),
    ] = None,
    budget_minutes: Annotated[float | None, typer.Option(help="Limit of minutes.")] = None,
    budget_money: Annotated[
        float | None, typer.Option(help="Limit of US dollars for a paid controller.")
    ] = None,
    on_ambiguous: options.OnAmbiguous = "ask",
    timeout: options.Timeout = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page to write.", show_default="selfsteer-report-RUN.html"),
    ] = None,
    seed: options.Seed = 0,
    db: options.Db = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: options.Json = False,
) -> None:
    """Breed vectors towards a goal, beside random search at the same price, and write a page with
    the plots; exit codes as those of `run`."""
    defaults = AppSettings()
    who = Deciders(
        controller=controller,
        model=model or defaults.model,
        base_url=base_url or defaults.base_url,
        timeout=defaults.timeout if timeout is None else timeout,
    )
    check_deciders(who)
    if out is not None:
        check_place(out)
    limits = {
        "candidates": budget_candidates,
        "minutes": budget_minutes,
        "money": budget_money,
    }
    bounds = None if strengths is None else parse_strengths(strengths)
    from selfsteer.agents.evolve import evolve_goal
    from selfsteer.app.conducting import conducted
    from selfsteer.app.inputs import Inputs
    from selfsteer.app.watch import say_stopped
    from selfsteer.memory.runs import fresh_id
    from selfsteer.steering.datasets import ContrastiveDataset

    vectors = [load_vector(source, db) for source in founders]
    settings = _settings(
        goal,
        {
            "founders": [vector.id for vector in vectors],
            "generations": generations,
            "population": population,
        },
        limits,
        {"seed": seed, "strengths": bounds},
    )
    pairs = None if dataset is None else ContrastiveDataset.load(dataset, concept=goal)
    with open_memory(db) as memory:
        steered = load_student(student, device, dtype)
        for vector in vectors:
            memory.put_vector(vector)
        run_id = fresh_id()
        inputs = Inputs.store(
            memory,
            student=student,
            device=device or defaults.device,
            dtype=dtype or defaults.dtype,
            dataset=pairs,
            capability=None,
            who=who,
        )
        with conducted(
            memory, run_id, settings, steered, inputs, on_ambiguous=on_ambiguous
        ) as conduct:
            ended = evolve_goal(
                steered,
                conduct.decider,
                memory,
                settings,
                dataset=pairs,
                capability=inputs.capability(memory),
                listener=conduct.listener,
                control=conduct.control,
                run_id=run_id,
            )
        if ended.status == "stopped":
            say_stopped(memory, run_id)
        conclude_evolution(memory, ended, out, json_=json_)


def conclude_evolution(memory: Memory, ended: Run, out: Path | None, *, json_: bool) -> None:
    """Print what an evolution came to, write its page, and set the exit code."""
    from selfsteer.app.concluding import as_json
    from selfsteer.app.draining import DRAINED
    from selfsteer.app.evolve_view import champions_table, generations_table
    from selfsteer.app.report.page import write_report

    if ended.status == "stopped":
        raise typer.Exit(DRAINED)
    verdict: dict[str, Any] = ended.verdict or {}
    events = memory.runs.events(ended.id)
    paid = memory.ledger.paid(ended.id)
    reported = memory.runs.candidates(ended.id, "report")
    path = out or Path(f"selfsteer-report-{ended.id}.html")
    if json_:
        told = {event.kind: event.payload for event in events}
        print_json(
            {
                **as_json(ended),
                "generations": [e.payload for e in events if e.kind == "generation"],
                "champions": told.get("finalists", {}).get("champions", {}),
                "compared": told.get("compared", {}),
                "paid": paid.model_dump(),
                "page": str(path),
                "seconds": round(ended.seconds, 3),
            }
        )
    else:
        console = stdout()
        console.print(generations_table(events))
        if reported:
            console.print(champions_table(reported))
        console.print(literal(f"{ended.status}: {verdict.get('reason', '')}"))
        if "vector_id" in verdict:
            where = place(*(verdict[name] for name in ("site", "layer", "operator", "strength")))
            console.print(literal(f"vector {verdict['vector_id']}: {where}"))
        if paid.calls:
            console.print(literal(f"paid: {paid_words(paid)}"))
        console.print(literal(f"{ended.seconds:.1f} s; {path}"))
    # Last, because the results are worth more than the page.
    write_report(memory, ended.id, path)
    if ended.status != "accepted":
        raise typer.Exit(1)


def _settings(
    goal: str,
    evolution: Mapping[str, Any],
    limits: Mapping[str, float | None],
    others: Mapping[str, Any],
) -> EvolveSettings:
    """The settings; what no limit was given for may cost what the generations need."""
    from pydantic import ValidationError

    from selfsteer.agents.budget import Budget
    from selfsteer.agents.evolving.settings import Evolution, EvolveSettings, evaluations, workload
    from selfsteer.agents.probes import deal_probes
    from selfsteer.agents.types import Goal

    given = {name: value for name, value in limits.items() if value is not None}
    try:
        settings = EvolveSettings(
            goal=Goal(text=goal), evolution=Evolution.model_validate(evolution), **others
        )
        work = workload(settings, deal_probes(settings.seed))
        replies = sum(work.values()) + settings.evolution.generations * work["generation"]
        needed = {
            "candidates": evaluations(settings),
            "generated_tokens": replies * settings.max_new_tokens,
        }
        budget = Budget.model_validate(needed | given)
    except ValidationError as error:
        raise SelfsteerError(explain(error, _NAMES)) from error
    return settings.model_copy(update={"budget": budget})
