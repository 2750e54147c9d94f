"""`selfsteer user derive|review|predict|explain`: a user's vector, whether it predicts, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfsteer.app import options
from selfsteer.app.arms_view import Shown, arms_table
from selfsteer.app.commands.users import UserId
from selfsteer.app.loading import load_student, open_memory
from selfsteer.app.output import DASH, figure, is_text, literal, print_json, stdout, table
from selfsteer.errors import UserError

if TYPE_CHECKING:
    from selfsteer.agents.users.explaining import Explained
    from selfsteer.agents.users.judging import Verdict
    from selfsteer.agents.users.predicting import Figure, Prediction
    from selfsteer.memory.store import Memory
    from selfsteer.memory.users import UserVector
    from selfsteer.steering.model import Student
    from selfsteer.steering.users.known import Known

_WORDS = 60  # characters of an observation in a table
_INFLUENCES, _TRAITS = 8, 8  # rows of a table

Method = Annotated[
    str,
    typer.Option(
        help="predictive, contrast, preference, traits, positive_traits or optimised: see the "
        "guide to users."
    ),
]
HalfLife = Annotated[
    float | None,
    typer.Option(help="Messages after which one counts half. Default: all count alike."),
]


def derive(
    user_id: UserId,
    student: options.StudentName = "pocket",
    method: Method = "predictive",
    half_life: HalfLife = None,
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
                "reviewed": reviewed and _reviewed(*reviewed),
            }
        )
        return
    console = stdout()
    if reviewed is not None:
        _, status, why = _cells(*reviewed)
        console.print(literal(f"the one in use until now: {why}: {status}"))
    judged = found.verdict or "too little was observed to judge it by"
    status = found.version.status.replace("_", " ")
    console.print(literal(f"vector {found.version.vector_id}: {status}"))
    console.print(literal(judged))


def review(
    user_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A user; all of them if none.", show_default=False),
    ] = None,
    student: options.StudentName = "pocket",
    device: options.Device = None,
    dtype: options.Dtype = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Judge vectors in use on what came since they were derived, and retire those no better.

    A vector is retired when it predicts no better than the population's, on average; to be put in
    use it has to be better by more than chance.
    """
    from selfsteer.agents.users.deriving import review_user

    with open_memory(db, read_only=True) as memory:
        names = [one.id for one in memory.users.all()]
        if user_id is not None:
            names = [memory.users.get(user_id).id]
    told: dict[str, tuple[UserVector, Verdict | None] | None] = {}
    with open_memory(db) as memory:
        subject = load_student(student, device, dtype)
        serving = [name for name in names if memory.users.current(name, subject.fingerprint)]
        if user_id is not None and not serving:
            raise UserError(
                f"User {user_id!a} has no vector in use for {subject.name}; 'selfsteer user derive "
                f"{user_id}' derives one and tries it."
            )
        if serving:
            known = _known(memory, subject)
            told = {name: review_user(memory, subject, known, name) for name in serving}
    if json_:
        print_json({"users": {name: one and _reviewed(*one) for name, one in told.items()}})
        return
    listing = table(None, "user", "vector", "status", "judged")
    for name, one in told.items():
        cells = (DASH, "in use", "too little came since") if one is None else _cells(*one)
        listing.add_row(literal(name), *map(literal, cells))
    stdout().print(listing)


def predict(
    user_id: UserId,
    student: options.StudentName = "pocket",
    method: Method = "predictive",
    half_life: HalfLife = None,
    in_use: Annotated[
        bool,
        typer.Option(
            "--in-use", help="Judge the vector in use instead, on what came since it was derived."
        ),
    ] = False,
    profile: Annotated[
        str, typer.Option(help="What somebody wrote about the user, as one more arm.")
    ] = "",
    device: options.Device = None,
    dtype: options.Dtype = None,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Derive from the older half of what is known of a user, and predict the newer half."""
    if not is_text(profile):
        raise UserError("--profile is not UTF-8; write it in UTF-8.")
    from selfsteer.agents.users.predicting import predict_user, predictable
    from selfsteer.agents.users.serving import version_in_use
    from selfsteer.app.crowd import strangers

    with _opened(user_id, db) as memory:
        if not in_use:
            predictable(memory, user_id, method, half_life)
        subject = load_student(student, device, dtype)
        if in_use:
            version_in_use(memory, subject, user_id)
        known = _known(memory, subject)
        found = predict_user(
            memory,
            subject,
            known,
            user_id,
            strangers(),
            method=method,
            half_life=half_life,
            profile=profile,
            in_use=in_use,
        )
    if json_:
        print_json(found.as_json())
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
    from selfsteer.app.report.writing import check_place

    if page is not None:
        check_place(page)
    with _opened(user_id, db) as memory:
        subject = load_student(student, device, dtype)
        explainable(memory, subject, user_id)
        found = explain_version(memory, subject, _known(memory, subject), user_id, seed=seed)
        if page is not None:
            with memory.files.writing("page", [page], user_ids=[user_id]):
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


def _reviewed(version: UserVector, verdict: Verdict | None) -> dict[str, Any]:
    told = {"reason": version.reason} if verdict is None else verdict.scores()
    return {**told, "status": version.status}


def _cells(version: UserVector, verdict: Verdict | None) -> tuple[str, str, str]:
    return version.vector_id, version.status.replace("_", " "), str(verdict or version.reason)


def _tell(found: Prediction) -> None:
    """A table for each measure; what is ahead is of the same messages, choices or ratings."""
    from selfsteer.agents.users.predicting import NAMES
    from selfsteer.steering.users.arms import MEASURES

    console = stdout()
    for measure, count in found.judged.items():
        title = f"{MEASURES[measure]}, of {count} {measure}"
        shown = {name: _shown(arm[measure]) for name, arm in found.arms.items()}
        console.print(arms_table(title, NAMES, shown))
    whose = "the vector in use" if found.version else "a vector of the older half"
    console.print(
        f"{whose}, at dose {found.dose:g}, from {found.told} observations; bits per token are over "
        "nothing known"
    )
    if found.context is not None:
        console.print(f"the history in context: {found.context}")


def _shown(one: Figure) -> Shown:
    return Shown(one.value, one.interval, one.ahead, one.ahead_interval)


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
            f"since the version before ({told.change.method}): cosine {cosine}, length "
            f"x{told.change.length:.2f}"
        )


def _tokens(said: list[Any]) -> str:
    return ", ".join(f"{one.token.strip()!r} {one.nats:+.1f}" for one in said)
