"""Reading observations from JSON lines: conversations in OpenAI's chat format, and feedback.

A line is one JSON object in UTF-8. It holds one of these, and may say whose it is (`user`), where
it belongs (`session`, or `id`) and its `scope`; what else it holds is not read::

    {"messages": [{"role": "user", "content": "Hello."}, ...]}
    {"preference": {"prompt": [...], "chosen": "...", "rejected": "..."}}
    {"rating": {"prompt": [...], "reply": "...", "rating": 4}}
    {"edit": {"prompt": [...], "before": "...", "after": "..."}}
    {"acceptance": {"prompt": [...], "reply": "...", "accepted": false}}

A prompt is a list of messages, or the text of one user message. The place of a message is that in
its list, once calls of tools and their answers are left out, which are nothing that anybody said;
it is counted from the `order` of the line, or 0, where the line says its session. Feedback may say
its place in the session (`order`), else it takes the next one. Lines without a session get one that
is named by their content, so that the same line twice is once, and a conversation that has gone on
since is the same one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from selfsteer.errors import UserError
from selfsteer.memory.records import to_json
from selfsteer.memory.users.conversations import LENGTH
from selfsteer.memory.users.observations import OBSERVATION, Observation, Scope

MOST_LINE = 2**26
"""Bytes of a line."""

FEEDBACK = ("preference", "rating", "edit", "acceptance")
_ROLES = {"developer": "system"}  # what later versions of the format call it
_TOOLS = ("tool", "function")  # roles of what a tool answers
_CALLS = ("tool_calls", "function_call")
_BOM = b"\xef\xbb\xbf"


class Line(BaseModel):
    """What one line says.

    Attributes:
        observations: of one session.
        placed: each has its place in it.
        named: the line says the session; else it has one of a name by its content.
        left_out: messages that are not read.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    user_id: str
    observations: tuple[Observation, ...]
    placed: bool
    named: bool
    left_out: int = 0


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
        said = _turns(content)
        first = 0 if session is None else _whole(raw.get("order", 0))
        found = [
            _observation({**common, "kind": "message", "order": order, **turn})
            for order, turn in enumerate(said, first)
        ]
        return Line(
            number=number,
            user_id=whose,
            observations=tuple(found),
            placed=True,
            named=session is not None,
            left_out=len(content) - len(said),
        )
    if not isinstance(content, dict):
        raise UserError(f"{forms[0]} is not a JSON object")
    prompt = content.get("prompt", [])
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _turns(prompt)
    one = _observation(
        {**content, **common, "kind": forms[0], "order": raw.get("order", 0), "prompt": turns}
    )
    return Line(
        number=number,
        user_id=whose,
        observations=(one,),
        placed="order" in raw or session is None,
        named=session is not None,
    )


def _whole(order: object) -> int:
    if isinstance(order, int) and not isinstance(order, bool):
        return order
    raise UserError("order: it is the place of the first message, a whole number")


def _name_by_content(content: object) -> str:
    """The name of a session that has none."""
    try:
        return hashlib.sha256(to_json(content).encode()).hexdigest()[:LENGTH]
    except (ValueError, RecursionError) as error:
        raise UserError("it holds text or numbers that cannot be stored") from error


def _turns(messages: object) -> list[dict[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise UserError("messages are a list that is not empty")
    return [turn for message in messages if (turn := _turn(message)) is not None]


def _turn(message: object) -> dict[str, str] | None:
    """What a message says; None for the call of a tool that says nothing, and for its answer."""
    if not isinstance(message, dict):
        raise UserError("a message is not a JSON object")
    role = message.get("role")
    if role in _TOOLS:
        return None
    role = _ROLES.get(role, role) if isinstance(role, str) else None
    if role not in ("system", "user", "assistant"):
        raise UserError(
            f"a message has the role {str(message.get('role'))[:40]!a}; system, user and assistant "
            "are read"
        )
    content = message.get("content")
    if content is None and role == "assistant":
        if any(message.get(name) for name in _CALLS):
            return None
        content = message.get("refusal")
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
