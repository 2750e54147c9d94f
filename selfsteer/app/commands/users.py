"""`selfsteer user list|observe|import|show|consent|forget`: the users and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from selfsteer.app import options
from selfsteer.app.loading import open_memory
from selfsteer.app.output import explain, literal, print_json, stdout, table
from selfsteer.errors import UserError

if TYPE_CHECKING:
    from selfsteer.memory.users import Forgotten, User
    from selfsteer.memory.users.importing import Imported

user = typer.Typer(no_args_is_help=True, help="Keep what users said, and forget them.")

UserId = Annotated[str, typer.Argument(metavar="ID", help="The id of a user.")]

Scope = Annotated[
    Literal["private", "shared"],
    typer.Option(help="Of lines that do not say it. Shared may be pooled, if the user consents."),
]

_LEFT = 1  # exit code of a forgetting that could not reach everything
_SESSION = "cli"


@user.command(name="list")
def list_(db: options.Db = None, json_: options.Json = False) -> None:
    """List the users, in the order in which they came."""
    from selfsteer.memory.users.observations import KINDS

    with open_memory(db, read_only=True) as memory:
        found = memory.users.all()
    if json_:
        print_json({"users": [one.model_dump() for one in found]})
        return
    listing = table(None, "user", "consents", *KINDS, right=KINDS)
    for one in found:
        counts = [str(one.counts.get(kind, 0)) for kind in KINDS]
        listing.add_row(literal(one.id), _yes(one), *counts)
    stdout().print(listing)


@user.command()
def observe(
    user_id: UserId,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="JSON lines: conversations in OpenAI's chat format, and feedback.",
            show_default=False,
        ),
    ] = None,
    message: Annotated[
        str | None,
        typer.Option(help="One message instead of a file; it comes last in its session."),
    ] = None,
    role: Annotated[
        Literal["system", "user", "assistant"], typer.Option(help="Who said the message.")
    ] = "user",
    session: Annotated[str, typer.Option(help="The session of the message.")] = _SESSION,
    scope: Scope = "private",
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Put what a user said on record, all of a file or nothing; a new user is added."""
    from selfsteer.memory.users.importing import Imported, import_file

    if (file is None) == (message is None):
        raise UserError("Give either a file or --message.")
    if file is not None:
        _check_file(file)
    with open_memory(db) as memory:
        if file is not None:
            told = import_file(memory.users, file, user_id=user_id, scope=scope)
        else:
            with memory.users.transaction():
                memory.users.add(user_id)
                order = memory.users.next_order(user_id, session)
                memory.users.observe(
                    user_id, [_message(session, order, scope, role, message or "")]
                )
            told = Imported(lines=1, added=1, skipped=0, extended=0, users=(user_id,))
    if json_:
        print_json({**told.model_dump(), "user": user_id})
    else:
        _tell_imported(told)


@user.command(name="import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSON lines, each of which says its user: conversations and feedback.",
            show_default=False,
        ),
    ],
    scope: Scope = "private",
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Put on record what many users said, all of a file or nothing; new users are added.

    Lines say whose they are (`user`). For a file about one user, see `observe`.
    """
    from selfsteer.memory.users.importing import import_file

    _check_file(file)
    with open_memory(db) as memory:
        told = import_file(memory.users, file, scope=scope)
    if json_:
        print_json(told.model_dump())
    else:
        stdout().print(f"{len(told.users)} users")
        _tell_imported(told)


@user.command()
def show(
    user_id: UserId,
    lines: Annotated[
        bool,
        typer.Option("--lines", help="Print what was observed, as the lines that observe reads."),
    ] = False,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Show what is known of a user, and the versions of their vectors."""
    from selfsteer.memory.users.importing import export_lines

    if lines and json_:
        raise UserError("Give either --lines or --json: each line is JSON by itself.")
    with open_memory(db, read_only=True) as memory:
        found = memory.users.get(user_id)
        versions = memory.users.versions(user_id)
        observations = memory.users.observations(user_id) if lines else []
    if lines:
        for line in export_lines(observations):
            print(line)
        return
    if json_:
        print_json({**found.model_dump(), "versions": [one.model_dump() for one in versions]})
        return
    console = stdout()
    counts = ", ".join(f"{number} {kind}s" for kind, number in found.counts.items())
    console.print(literal(f"{found.id}: since {found.created}, consents: {_yes(found)}"))
    console.print(counts or "nothing observed")
    if versions:
        listing = table(None, "vector", "method", "status", "scope", "evidence", "made", "reason")
        for one in versions:
            cells = (one.vector_id, one.method, one.status, one.scope, len(one.evidence))
            listing.add_row(*map(literal, (*cells, one.created, one.reason)))
        console.print(listing)


@user.command()
def consent(
    user_id: UserId,
    granted: Annotated[
        bool, typer.Option("--yes/--no", help="Whether what they share may be pooled.")
    ],
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Put on record whether what a user shares may enter what is made from several users."""
    open_memory(db, read_only=True).close()  # a new memory knows nobody
    with open_memory(db) as memory:
        touched = memory.users.consent(user_id, granted)
        found = memory.users.get(user_id)
    if json_:
        print_json({**found.model_dump(), "touched": touched})
    else:
        stdout().print(literal(f"{found.id}: consents: {_yes(found)}"))
        _tell_touched(touched)


@user.command()
def forget(
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild/--no-rebuild",
            help="Learn what users are like anew, where this one was in it; else when next needed.",
        ),
    ] = True,
    db: options.Db = None,
    json_: options.Json = False,
) -> None:
    """Remove a user with all that came from their data, files and backups included.

    Exit code 1 if something could not be reached; it is named. What was removed is told also where
    learning anew fails or is stopped.
    """
    from selfsteer.app.at_large import learn_anew, learned_for

    with open_memory(db, read_only=True) as memory:
        memory.users.get(user_id)
    if not yes:
        typer.confirm(f"Forget user {user_id!a} for good?", abort=True, err=True)
    with open_memory(db) as memory:
        learned = learned_for(memory)
        report = memory.users.forget(user_id)
        stale = [one for one in learned if one.id in report.stale] if rebuild else []
        if not json_:
            _tell(report)
        rebuilt: list[str] = []
        try:
            for artefact_id in learn_anew(memory, stale):
                rebuilt.append(artefact_id)  # one by one: what was made is told if the next fails
        finally:  # the user is known no longer, so that nothing can be told a second time
            if json_:
                print_json({**report.model_dump(), "rebuilt": rebuilt})
            elif rebuilt:
                stdout().print(f"{len(rebuilt)} pooled artefacts made anew")
    if report.remains:
        raise typer.Exit(_LEFT)


def _check_file(file: Path) -> None:
    if not file.is_file():  # said before a new memory is made for nothing
        raise UserError(f"There is no file at {file}.")


def _tell_imported(told: Imported) -> None:
    tools = f"; {told.left_out} calls of tools and answers left out" if told.left_out else ""
    stdout().print(
        literal(
            f"{told.added} observations added; of {told.lines} lines {told.skipped} were known, "
            f"{told.extended} in part{tools}"
        )
    )


def _tell(report: Forgotten) -> None:
    console = stdout()
    numbers = {
        "observations": report.observations,
        "versions of vectors": report.versions,
        "artefacts": len(report.artefacts),
        "runs": len(report.runs),
        "files": len(report.files),
    }
    removed = ", ".join(f"{number} {what}" for what, number in numbers.items())
    console.print(literal(f"{report.user_id} is forgotten: {removed}"))
    for path in report.cleaned:
        console.print(literal(f"taken out of {path}"))
    if report.stale:
        console.print(
            f"{len(report.stale)} pooled artefacts are stale: any that is not made anew now is the "
            "next time that it is needed"
        )
    _tell_touched(report.touched)
    for sentence in report.remains:
        console.print(literal(f"NOT REACHED: {sentence}"))


def _tell_touched(versions: Sequence[str]) -> None:
    for version in versions:
        stdout().print(
            literal(
                f"version {version} of another user was made with what is stale now; derive again"
            )
        )


def _yes(found: User) -> str:
    return "yes" if found.consents else "no"


def _message(session: str, order: int, scope: str, role: str, content: str) -> Any:
    from pydantic import ValidationError

    from selfsteer.memory.users import Message

    try:
        return Message.model_validate(
            {
                **{"session": session, "order": order, "source": "cli", "scope": scope},
                **{"role": role, "content": content},
            }
        )
    except ValidationError as error:
        raise UserError(explain(error, {"session": "--session", "content": "--message"})) from error
