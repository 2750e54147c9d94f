"""Bringing files of observations in and out; `selfsteer.memory.users.lines` says their form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from selfsteer.errors import UserError
from selfsteer.memory.records import to_json
from selfsteer.memory.users.conversations import Conversations
from selfsteer.memory.users.lines import Line, read_lines
from selfsteer.memory.users.observations import Observation, Scope, content_of
from selfsteer.memory.users.observing import Observing
from selfsteer.memory.users.records import StoredObservation


class Imported(BaseModel):
    """What came of a file.

    Attributes:
        lines: that held something.
        added: observations that are new.
        skipped: lines of which everything was known.
        extended: conversations that were known in part.
        left_out: calls of tools, and their answers.
        users: ids of those the lines are about, in order.
    """

    model_config = ConfigDict(frozen=True)

    lines: int
    added: int
    skipped: int
    extended: int
    left_out: int = 0
    users: tuple[str, ...]


def import_file(
    users: Observing,
    path: Path,
    *,
    user_id: str | None = None,
    scope: Scope = "private",
    source: str = "import",
) -> Imported:
    """Put the lines of a file on record, all or none; users who are new are added.

    A session that is known may go on: a conversation that begins with the messages that are on
    record adds the others, and one that contradicts them is refused.

    Args:
        user_id: whose lines these are, where they do not say it; lines of others are refused.
            None: each line has to say it.
        scope: of lines that do not say theirs.

    Raises:
        UserError: the file cannot be read, or a line cannot be taken; the sentence names it.
    """
    try:
        with path.open("rb") as file:
            lines = list(read_lines(file, user_id=user_id, scope=scope, source=source))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    return _take(users, lines)


def export_lines(observations: Iterable[StoredObservation]) -> Iterator[str]:
    """Observations as lines that `import_file` reads, without the ends of the lines.

    Read in the same order, they give the same observations at the same places. So a line holds
    messages that follow one another in one scope, and a session of several scopes, or with a
    message missing, takes several lines.
    """
    line: dict[str, Any] = {}
    following: tuple[str, Scope, int] | None = None  # what goes on in the line
    for kept in observations:
        one = kept.observation
        if one.kind == "message" and following == (one.session, one.scope, one.order):
            line["messages"].append(content_of(one))
        else:
            if line:
                yield to_json(line)
            line = {"session": one.session, "scope": one.scope, "order": one.order}
            said = content_of(one)
            line |= {"messages": [said]} if one.kind == "message" else {one.kind: said}
        following = (one.session, one.scope, one.order + 1) if one.kind == "message" else None
    if line:
        yield to_json(line)


def _take(users: Observing, lines: list[Line]) -> Imported:
    added = skipped = extended = 0
    known: dict[str, Conversations] = {}
    with users.transaction():
        for line in lines:
            try:
                users.add(line.user_id)
                found = _placed(users, line) if line.named else _continued(users, line, known)
                new = [users.put(line.user_id, one)[1] for one in found]
            except UserError as error:
                raise UserError(f"Line {line.number}: {error}") from error
            added += sum(new)
            skipped += not any(new)
            extended += any(new) and not all(new)
    return Imported(
        lines=len(lines),
        added=added,
        skipped=skipped,
        extended=extended,
        left_out=sum(line.left_out for line in lines),
        users=tuple(dict.fromkeys(line.user_id for line in lines)),
    )


def _placed(users: Observing, line: Line) -> tuple[Observation, ...]:
    """The observations at their places: feedback without one is where it was, or comes last."""
    if line.placed:
        return line.observations
    [one] = line.observations
    there = users.place_of(line.user_id, one)
    order = users.next_order(line.user_id, one.session) if there is None else there
    return (one.model_copy(update={"order": order}),)


def _continued(
    users: Observing, line: Line, known: dict[str, Conversations]
) -> tuple[Observation, ...]:
    """The observations in the session that they go on from, if they are a conversation."""
    if not line.observations or line.observations[0].kind != "message":
        return line.observations  # feedback that is named by its content is alone in its session
    if line.user_id not in known:
        known[line.user_id] = Conversations(users.said(line.user_id))
    messages = [to_json(content_of(one)) for one in line.observations]
    session = known[line.user_id].session_of(messages, line.observations[0].session)
    return tuple(one.model_copy(update={"session": session}) for one in line.observations)
