"""Reading observations from JSON lines: conversations in OpenAI's chat format, and feedback.

A line is one JSON object in UTF-8. It holds one of these, and may say whose it is (`user`), where
it belongs (`session`, or `id`) and its `scope`; what else it holds is not read::

    {"messages": [{"role": "user", "content": "Hello."}, ...]}
    {"preference": {"prompt": [...], "chosen": "...", "rejected": "..."}}
    {"rating": {"prompt": [...], "reply": "...", "rating": 4}}
    {"edit": {"prompt": [...], "before": "...", "after": "..."}}
    {"acceptance": {"prompt": [...], "reply": "...", "accepted": false}}

A prompt is a list of messages, or the text of one user message. The place of a message is that in
its list. Feedback may say its place in the session (`order`), else it takes the next one. Lines
without a session get one that is named by their content, so that the same line twice is once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from selfsteer.errors import UserError
from selfsteer.memory.records import to_json
from selfsteer.memory.users.observations import OBSERVATION, Observation, Scope, content_of
from selfsteer.memory.users.observing import Observing
from selfsteer.memory.users.records import StoredObservation

MOST_LINE = 2**26
"""Bytes of a line."""

FEEDBACK = ("preference", "rating", "edit", "acceptance")
_ROLES = {"developer": "system"}  # what later versions of the format call it
_BOM = b"\xef\xbb\xbf"


class Imported(BaseModel):
    """What came of a file.

    Attributes:
        lines: that held something.
        added: observations that are new.
        skipped: lines of which everything was known.
        extended: conversations that were known in part.
        users: ids of those the lines are about, in order.
    """

    model_config = ConfigDict(frozen=True)

    lines: int
    added: int
    skipped: int
    extended: int
    users: tuple[str, ...]


class Line(BaseModel):
    """What one line says: observations of one session; `placed` if each has its place."""

    model_config = ConfigDict(frozen=True)

    number: int
    user_id: str
    observations: tuple[Observation, ...]
    placed: bool


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


def read_lines(file: BinaryIO, *, user_id: str | None, scope: Scope, source: str) -> Iterator[Line]:
    """The lines of a file that hold something, read and checked.

    Raises:
        UserError: a line cannot be read; the sentence names it.
    """
    number = 0
    while data := file.readline(MOST_LINE + 1):
        number += 1
        try:
            if len(data) > MOST_LINE:
                raise UserError(f"it is longer than {MOST_LINE} bytes")
            text = data.removeprefix(_BOM if number == 1 else b"").decode()
            if text.strip():
                yield _line(number, _object(text), user_id, scope, source)
        except UnicodeDecodeError as error:
            raise UserError(
                f"Line {number}: byte {error.start + 1} is not UTF-8; convert the file, for "
                "example with iconv."
            ) from error
        except UserError as error:
            raise UserError(f"Line {number}: {error}.") from error


def export_lines(observations: Iterable[StoredObservation]) -> Iterator[str]:
    """Observations as lines that `import_file` reads, without the ends of the lines.

    A conversation whose messages do not fill the places from 0 on cannot be told in that form, and
    comes back with its messages moved up.
    """
    sessions: dict[tuple[str, Scope], list[dict[str, Any]]] = {}
    feedback = []
    for kept in observations:
        one = kept.observation
        if one.kind == "message":
            sessions.setdefault((one.session, one.scope), []).append(content_of(one))
        else:
            feedback.append(
                {
                    **{"session": one.session, "order": one.order, "scope": one.scope},
                    one.kind: content_of(one),
                }
            )
    for (session, scope), messages in sessions.items():
        yield to_json({"session": session, "scope": scope, "messages": messages})
    yield from map(to_json, feedback)


def _take(users: Observing, lines: list[Line]) -> Imported:
    added = skipped = extended = 0
    with users.transaction():
        for line in lines:
            try:
                users.add(line.user_id)
                new = [users.put(line.user_id, one)[1] for one in _placed(users, line)]
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


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or "too deep, or a number that is none"
        raise UserError(f"it is not JSON ({reason})") from error
    if not isinstance(value, dict):
        raise UserError("it is not a JSON object")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _line(number: int, raw: dict[str, Any], user_id: str | None, scope: Scope, source: str) -> Line:
    whose = raw.get("user", user_id)
    if not isinstance(whose, str) or not whose:
        raise UserError('it does not say whose it is; give "user"')
    if user_id is not None and whose != user_id:
        raise UserError(f"it is about user {whose[:200]!a}, not {user_id!a}")
    forms = [name for name in ("messages", *FEEDBACK) if name in raw]
    if len(forms) != 1:
        raise UserError(f"it has to hold one of messages, {', '.join(FEEDBACK)}")
    content = raw[forms[0]]
    session = raw.get("session", raw.get("id"))
    common = {
        "session": _name_by_content(content) if session is None else session,
        "source": source,
        "scope": raw.get("scope", scope),
    }
    if forms[0] == "messages":
        found = [
            _observation({**common, "kind": "message", "order": order, **turn})
            for order, turn in enumerate(_turns(content))
        ]
        return Line(number=number, user_id=whose, observations=tuple(found), placed=True)
    if not isinstance(content, dict):
        raise UserError(f"{forms[0]} is not a JSON object")
    prompt = content.get("prompt", [])
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _turns(prompt)
    one = _observation(
        {**content, **common, "kind": forms[0], "order": raw.get("order", 0), "prompt": turns}
    )
    # One that is named by its content is alone in its session.
    placed = "order" in raw or session is None
    return Line(number=number, user_id=whose, observations=(one,), placed=placed)


def _name_by_content(content: object) -> str:
    """The name of a session that has none."""
    try:
        return hashlib.sha256(to_json(content).encode()).hexdigest()[:32]
    except (ValueError, RecursionError) as error:
        raise UserError("it holds text or numbers that cannot be stored") from error


def _turns(messages: object) -> list[dict[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise UserError("messages are a list that is not empty")
    return [_turn(message) for message in messages]


def _turn(message: object) -> dict[str, str]:
    if not isinstance(message, dict):
        raise UserError("a message is not a JSON object")
    role = message.get("role")
    role = _ROLES.get(role, role) if isinstance(role, str) else None
    if role not in ("system", "user", "assistant"):
        raise UserError(
            f"a message has the role {str(message.get('role'))[:40]!a}; system, user and assistant "
            "are read"
        )
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    if not isinstance(content, str):
        raise UserError("the content of a message is no text, nor a list of parts")
    return {"role": role, "content": content}


def _part(part: object) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise UserError("a part of a message is no text; only text is read")


def _observation(raw: dict[str, Any]) -> Observation:
    try:
        return OBSERVATION.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"][1:])) or raw["kind"]
        raise UserError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
