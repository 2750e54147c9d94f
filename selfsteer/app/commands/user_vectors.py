"""`selfsteer user derive|predict|explain`: the vector of a user, whether it predicts, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.commands.users import UserId
from selfsteer.app.loading import load_student, open_memory
from selfsteer.app.output import DASH, figure, literal, print_json, stdout, table

if TYPE_CHECKING:
    from selfsteer.agents.users.explaining import Explained
    from selfsteer.agents.users.predicting import Prediction
    from selfsteer.memory.store import Memory
    from selfsteer.steering.model import Student
    from selfsteer.steering.users.known import Known

_WORDS = 60  # characters of an observation in a table
_INFLUENCES, _TRAITS = 8, 8  # rows of a table

Method = Annotated[str, typer.Option(help="predictive, contrast, preference, traits or optimised.")]


def derive(
    user_id: UserId,
    student: options.StudentName = "pocket",
    method: Method = "predictive",
    half_life: Annotated[
        float | None,
        typer.Option(help="Messages after which one counts half. Default: all count alike."),
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Derive a user's vector; it is put in use if it predicts the user better than the population.

    A vector in use is first judged on what came since, and retired if it is better no more.
    """
    from selfsteer.agents.users.deriving import derivable, derive_user, review_user

    with _opened(user_id, db) as memory:
        derivable(memory, user_id, method, half_life)
        subject = load_student(student, device, dtype)
        known = _known(memory, subject)
        reviewed = review_user(memory, subject, known, user_id)
        found = derive_user(memory, subject, known, user_id, method=method, half_life=half_life)
    if json_:
        print_json(
            {
                **found.version.model_dump(),
                "verdict": found.verdict and found.verdict.scores(),
                "reviewed": reviewed and {**reviewed[1].scores(), "status": reviewed[0].status},
            }
        )
        return
    console = stdout()
    if reviewed is not None:
        status = reviewed[0].status.replace("_", " ")
        console.print(literal(f"the one in use until now: {reviewed[1]}: {status}"))
    judged = found.verdict or "too few messages to judge it by"
    status = found.version.status.replace("_", " ")
    console.print(literal(f"vector {found.version.vector_id}: {status}"))
    console.print(literal(judged))


def predict(
    user_id: UserId,
    student: options.StudentName = "pocket",
    method: Method = "predictive",
    profile: Annotated[
        str, typer.Option(help="What somebody wrote about the user, as one more arm.")
    ] = "",
    device: options.Device = None,
    dtype: options.Dtype = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Derive from the older half of a user's messages, and predict the newer half."""
    from selfsteer.agents.users.predicting import predict_user, predictable
    from selfsteer.app.crowd import strangers

    with _opened(user_id, db) as memory:
        predictable(memory, user_id, method)
        subject = load_student(student, device, dtype)
        known = _known(memory, subject)
        found = predict_user(
            memory, subject, known, user_id, strangers(), method=method, profile=profile
        )
    if json_:
        print_json(asdict(found))
    else:
        _tell(found)


def explain(
    user_id: UserId,
    student: options.StudentName = "pocket",
    page: Annotated[
        Path | None,
        typer.Option(help="Also write it as an HTML page.", show_default=False),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    dtype: options.Dtype = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Say what a user's vector holds: traits, tokens, samples, and the messages that carry it."""
    from selfsteer.agents.users.explaining import explain_version, explainable
    from selfsteer.app.report.user_page import write_user_page

    with _opened(user_id, db) as memory:
        subject = load_student(student, device, dtype)
        explainable(memory, subject, user_id)
        found = explain_version(memory, subject, _known(memory, subject), user_id, seed=seed)
        if page is not None:
            # On record first: after a kill in between, forgetting finds nothing there to delete.
            memory.files.note("page", page, user_ids=[user_id])
            write_user_page(found, page)
    if json_:
        print_json({"version": found.version.model_dump(), **asdict(found.told)})
    else:
        _say(found)


def _opened(user_id: str, db: Path | None) -> Memory:
    """The memory; a new one is not made, because it would know nobody."""
    with open_memory(db, read_only=True) as memory:
        memory.users.get(user_id)
    return open_memory(db)


def _known(memory: Memory, student: Student) -> Known:
    from selfsteer.app.at_large import at_large

    return at_large(memory, student)


def _tell(found: Prediction) -> None:
    from selfsteer.agents.users.predicting import NAMES

    console = stdout()
    columns = ("gain", "over the population", "choices", "ratings")
    listing = table(None, "what is known", *columns, right=columns)
    for name, arm in found.arms.items():
        low, high = arm.over_interval
        listing.add_row(
            NAMES[name],
            figure(arm.gain, 3),
            DASH
            if name == "population"
            else f"{arm.over_population:+.3f} [{low:+.3f}, {high:+.3f}]",
            figure(arm.accuracy),
            figure(arm.correlation),
        )
    console.print(listing)
    console.print(
        f"bits per token of {found.judged} messages, from {found.told} older ones; the history in "
        f"context is {found.history_tokens} tokens"
        + (f" of {found.context_tokens} that the student takes" if found.context_tokens else "")
    )


def _say(found: Explained) -> None:
    console, told = stdout(), found.told
    console.print(
        literal(
            f"vector {found.version.vector_id} of {found.version.user_id}: {found.version.method}, "
            f"{found.version.status.replace('_', ' ')}, from {len(found.version.evidence)} "
            "observations"
        )
    )
    listing = table("traits", "trait", "coordinate", right=("coordinate",))
    for name, value in list(told.traits.items())[:_TRAITS]:
        listing.add_row(literal(name), f"{value:+.2f}")
    console.print(listing)
    for layer, tokens in told.raised.items():
        console.print(literal(f"layer {layer} speaks for: {_tokens(tokens)}"))
        console.print(literal(f"layer {layer} speaks against: {_tokens(told.lowered[layer])}"))
    listing = table("carried by", "share", "turned", "what was observed", right=("share", "turned"))
    for one in told.influences[:_INFLUENCES]:
        listing.add_row(f"{one.share:+.2f}", f"{one.turned:.3f}", literal(one.words[:_WORDS]))
    console.print(listing)
    listing = table("the student in the user's place", "with the vector", "with its opposite")
    for plus, minus in zip(told.plus, told.minus, strict=True):
        listing.add_row(literal(plus), literal(minus))
    console.print(listing)
    if told.change is not None:
        cosine = figure(told.change.cosine)
        console.print(
            f"since the version before: cosine {cosine}, length x{told.change.length:.2f}"
        )


def _tokens(said: list[Any]) -> str:
    return ", ".join(f"{one.token.strip()!r} {one.nats:+.1f}" for one in said)
