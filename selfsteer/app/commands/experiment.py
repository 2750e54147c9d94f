"""`selfsteer experiment NAME`: the studies that the project was started with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfsteer.app import options
from selfsteer.app.arms_view import Shown, arms_table, interval
from selfsteer.app.loading import load_student
from selfsteer.app.output import figure, print_json, stdout, table
from selfsteer.app.report.writing import check_place, write_file
from selfsteer.errors import ScenarioError

if TYPE_CHECKING:
    from selfsteer.scenarios.experiments.spread import SpreadStudy
    from selfsteer.scenarios.experiments.user_vectors.measures import Mean
    from selfsteer.scenarios.experiments.user_vectors.plateau import BasisCurve
    from selfsteer.scenarios.experiments.user_vectors.results import Arms, Study

experiment = typer.Typer(no_args_is_help=True, help="Run a study and say what came out.")

Out = Annotated[
    Path | None,
    typer.Option(
        help="A folder for the page, the figures as JSON, and the bars in bars/NAME.json.",
        show_default=False,
    ),
]
_BARS = "bars/user-vectors.json"
_MISSED = 1  # exit code when a bar is missed


@experiment.command("user-vectors")
def user_vectors(
    student: options.StudentName = "pocket",
    users: Annotated[int, typer.Option(help="Simulated users that are judged.")] = 200,
    population: Annotated[int, typer.Option(help="Simulated users that are learned from.")] = 200,
    seed: options.Seed = 0,
    out: Out = None,
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

    _check(out, "user-vectors.json", "user-vectors.html", _BARS)
    subject = load_student(student, device, dtype)
    with StageProgress() as report:
        study = run_study(subject, users=users, population=population, seed=seed, report=report)
    bars = study_bars(study)
    told = {"bars": [bar.as_json() for bar in bars], **study.as_json()}
    if json_:
        print_json(told)
    else:
        _tell(study)
        listing = table("bars", "bar", "value", "limit", "met", "note", right=("value", "limit"))
        for bar in bars:
            listing.add_row(*bar.cells())
        stdout().print(listing)
    if out is not None:
        _write(told, out / "user-vectors.json")
        _write(told["bars"], out / _BARS)
        write_study_page(study, bars, out / "user-vectors.html")
    if not all(bar.met for bar in bars):
        raise typer.Exit(_MISSED)


@experiment.command()
def spread(
    student: options.StudentName = "pocket",
    users: Annotated[int, typer.Option(help="Simulated users, each with a vector.")] = 40,
    population: Annotated[int, typer.Option(help="Simulated users that are learned from.")] = 100,
    steps: Annotated[int, typer.Option(help="In each of which every user looks once.")] = 200,
    selection: Annotated[
        float, typer.Option(help="How sharply users tell gains apart, per bit per token.")
    ] = 20.0,
    innovation: Annotated[
        float, typer.Option(help="The chance to take any vector instead of looking.")
    ] = 0.02,
    repetitions: Annotated[int, typer.Option(help="Independent runs of the imitation.")] = 50,
    seed: options.Seed = 0,
    out: Out = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: options.Json = False,
) -> None:
    """How do vectors spread among users who copy what predicts them? Two minutes on two cores."""
    from selfsteer.app.report.study_page import write_spread_page
    from selfsteer.app.stage_progress import StageProgress
    from selfsteer.scenarios.experiments.spread import run_spread

    _check(out, "spread.json", "spread.html")
    subject = load_student(student, device, dtype)
    with StageProgress() as report:
        study = run_spread(
            subject,
            users=users,
            population=population,
            steps=steps,
            selection=selection,
            innovation=innovation,
            repetitions=repetitions,
            seed=seed,
            report=report,
        )
    if json_:
        print_json(study.as_json())
    else:
        _tell_spread(study)
    if out is not None:
        _write(study.as_json(), out / "spread.json")
        write_spread_page(study, out / "spread.html")


def _check(out: Path | None, *names: str) -> None:
    """Refuse a folder in which files of these names cannot be written."""
    if out is None:
        return
    if not out.is_dir():
        raise ScenarioError(f"There is no folder {out}; make it first.")
    for name in names:
        path = out / name
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise ScenarioError(
                f"The folder {path.parent} cannot be made: {error.strerror}."
            ) from error
        check_place(path)


def _write(told: object, path: Path) -> None:
    write_file(json.dumps(told, ensure_ascii=False, indent=1) + "\n", path)


def _tell(study: Study) -> None:
    from selfsteer.app.report.study_page import ARMS
    from selfsteer.steering.users.arms import MEASURES

    console = stdout()
    for measure, arms in study.measures.items():
        users = len(arms.own.users)
        title = f"{MEASURES[measure]}, ten messages known, {users} users"
        console.print(arms_table(title, ARMS, _shown(arms)))
    console.print(f"the messages in context: {_history_words(study)}")
    columns = ("bits per token", "95 % interval")
    listing = table("own over the population", "users and messages", *columns, right=columns)
    for count, gain in study.cold_start.items():
        listing.add_row(f"{count} messages", *_cells(gain))
    for kind, gain in study.kinds.items():
        listing.add_row(f"{kind} users", *_cells(gain))
    console.print(listing)
    right = ("bits per token", "95 %", "choices", "95 % ", "ratings", "95 %  ", "dose")
    listing = table("ways of deriving", "method", *right, right=right)
    for method, row in study.methods.items():
        cells = (*_cells(row.gain), *_cells(row.accuracy), *_cells(row.correlation))
        listing.add_row(method, *cells, figure(row.dose, 1))
    console.print(listing)
    _tell_basis(study.basis)
    found = ", ".join(f"{name} {share:.2f}" for name, share in study.recovered.items())
    console.print(f"profile recovered: {found}")


def _shown(arms: Arms) -> dict[str, Shown]:
    ahead = arms.own_ahead
    return {
        name: Shown(
            one.mean, one.interval, ahead.get(name, one).mean, ahead.get(name, one).interval
        )
        for name, one in arms.by_name.items()
    }


def _tell_basis(basis: BasisCurve) -> None:
    console = stdout()
    right = ("shared vectors that keep 95 %", "95 % interval", "of", "effective rank")
    listing = table("size of the basis", "users", *right, right=("users", *right))
    for users, one in basis.by_users.items():
        low, high = one.interval
        cells = (str(one.keeps), f"[{low:.0f}, {high:.0f}]", str(one.sizes[-1]))
        listing.add_row(str(users), *cells, figure(basis.ranks[users], 1))
    console.print(listing)
    console.print(
        f"with ever more users the fitted curves come to {basis.growth.height:.1f} shared vectors "
        f"and an effective rank of {basis.rank_growth.height:.1f}; the map is made of {basis.most}"
    )


def _history_words(study: Study) -> str:
    """How much of the raw history the student sees."""
    told = f"{study.history_messages:.0f} messages, {study.history_tokens:.0f} tokens"
    if study.context_tokens is not None:
        told += f"; the student reads {study.context_tokens}"
    if study.reach is not None:
        told += f" and remembers {study.reach}"
    return told


def _tell_spread(study: SpreadStudy) -> None:
    console = stdout()
    right = ("bits per token", "middle 90 %", "effective vectors", "middle 90 % ")
    title = f"{study.users} users, {study.users + 1} vectors, {study.steps} steps"
    listing = table(title, "who has what", *right, right=right)
    still = {
        "the population's vector for all": study.population,
        "dealt out at random": study.start,
        "each their own": study.own,
        "each the best for them": study.best,
    }
    for name, gain in still.items():
        listing.add_row(name, figure(gain, 3))
    for name, one in {"after imitation": study.imitation, "after drift": study.drift}.items():
        (gain, gains), (count, counts) = one.gain, one.effective
        cells = (figure(gain, 3), interval(gains), figure(count, 1), interval(counts))
        listing.add_row(name, *cells)
    console.print(listing)
    for name, one in {"imitation": study.imitation, "drift": study.drift}.items():
        console.print(
            f"{name}: one vector for all in {one.fixed:.0%} of {study.repetitions} runs; the "
            f"population's vector with {one.population:.0%} of users"
        )


def _cells(gain: Mean) -> tuple[str, str]:
    return figure(gain.mean, 3), interval(gain.interval)
