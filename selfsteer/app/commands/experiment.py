"""`selfsteer experiment NAME`: the studies that the project was started with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_student
from selfsteer.app.output import figure, print_json, stdout, table
from selfsteer.errors import ScenarioError

if TYPE_CHECKING:
    from selfsteer.scenarios.experiments.user_vectors.measures import Gain
    from selfsteer.scenarios.experiments.user_vectors.study import Study

experiment = typer.Typer(no_args_is_help=True, help="Run a study and say what came out.")

_MISSED = 1  # exit code when a bar is missed


@experiment.command("user-vectors")
def user_vectors(
    student: options.StudentName = "pocket",
    users: Annotated[int, typer.Option(help="Simulated users that are judged.")] = 200,
    population: Annotated[int, typer.Option(help="Simulated users that are learned from.")] = 200,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for the page and the figures as JSON.", show_default=False),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: options.Json = False,
) -> None:
    """Do vectors predict their users? 200 simulated users, about ten minutes on two cores.

    Exit code 1 if a bar is missed.
    """
    from selfsteer.app.report.study_page import write_study_page
    from selfsteer.app.stage_progress import StageProgress
    from selfsteer.scenarios.experiments.user_vectors.bars import study_bars
    from selfsteer.scenarios.experiments.user_vectors.study import run_study

    if out is not None and not out.is_dir():
        raise ScenarioError(f"There is no folder {out}; make it first.")
    subject = load_student(student, device, dtype)
    with StageProgress() as report:
        study = run_study(subject, users=users, population=population, seed=seed, report=report)
    bars = study_bars(study)
    told = {"bars": [bar.as_json() for bar in bars], **study.as_json()}
    if out is not None:
        text = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
        (out / "user-vectors.json").write_text(text, encoding="utf-8")
        write_study_page(study, bars, out / "user-vectors.html")
    if json_:
        print_json(told)
    else:
        _tell(study)
        listing = table("bars", "bar", "value", "limit", "met", "note", right=("value", "limit"))
        for bar in bars:
            listing.add_row(*bar.cells())
        stdout().print(listing)
    if not all(bar.met for bar in bars):
        raise typer.Exit(_MISSED)


def _tell(study: Study) -> None:
    console = stdout()
    columns = ("bits per token", "95 % interval")
    title = "ten messages known, ten others predicted"
    listing = table(title, "what is known", *columns, right=columns)
    rows = {
        "nobody: the population's vector": study.arms.population,
        "the user's own vector": study.arms.own,
        "other users' vectors": study.arms.shuffled,
        "named vectors alone": study.arms.traits,
        "the true profile, as a prompt": study.arms.profile,
        f"the messages in context ({study.history_tokens:.0f} tokens)": study.arms.history,
    }
    for name, gain in rows.items():
        listing.add_row(name, *_cells(gain))
    console.print(listing)
    listing = table("own over the population", "users and messages", *columns, right=columns)
    for count, gain in study.cold_start.items():
        listing.add_row(f"{count} messages", *_cells(gain))
    for kind, gain in study.kinds.items():
        listing.add_row(f"{kind} users", *_cells(gain))
    console.print(listing)
    right = ("bits per token", "choices", "ratings", "dose")
    listing = table("ways of deriving", "method", *right, right=right)
    for method, row in study.methods.items():
        cells = (figure(row.gain.mean, 3), figure(row.accuracy), figure(row.correlation))
        listing.add_row(method, *cells, figure(row.dose, 1))
    console.print(listing)
    low, high = study.basis.interval
    console.print(
        f"plateau: {study.basis.keeps} shared vectors [{low:.0f}, {high:.0f}] keep 95 % of what "
        f"{study.basis.sizes[-1]} gain; effective rank of {study.users} users' vectors "
        f"{list(study.basis.ranks.values())[-1]:.1f}"
    )
    found = ", ".join(f"{name} {share:.2f}" for name, share in study.recovered.items())
    console.print(f"profile recovered: {found}")


def _cells(gain: Gain) -> tuple[str, str]:
    low, high = gain.interval
    return figure(gain.mean, 3), f"[{low:.3f}, {high:.3f}]"
