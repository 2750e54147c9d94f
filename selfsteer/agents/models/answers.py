"""Finding the JSON in a model's words, for servers that cannot make it answer in JSON alone.

Only what can be read in one way is read: a value with prose or a Markdown fence around it, after
reasoning in `<think>` tags, with commas that trail. Nothing is guessed or completed.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from pydantic import JsonValue

from selfsteer.agents.models.errors import UnreadableReply

# Some chat templates open the tag in the prompt, so that only its end is in the answer. Where the
# text begins with JSON, the tag is in one of its strings.
_THOUGHT = re.compile(r"\A(?!\s*[{\[]).*?</think>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_OPENING = re.compile(r"[{\[]")
# Brackets of prose ("[see below]", "{name}") do not begin like this. What does and cannot be read
# is a broken answer, and a whole value within it is only a part of what was meant.
_LIKE_JSON = re.compile(r'\{\s*"|\[\s*[{\["]')
# A string is matched as a whole, so that no comma within it is taken for one that trails.
_STRING_OR_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


def extract_json(text: str) -> JsonValue:
    """The one JSON value in a text.

    A text that is JSON is taken as it is. Otherwise what stands in Markdown fences goes before what
    does not, and objects before lists, which prose also has ("in [0, 1]").

    Raises:
        UnreadableReply: there is no object or list, one that is cut, several that differ, or one
            with half of a surrogate pair, which JSON can write and no text can hold.
    """
    found = _extract(text)
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UnreadableReply(
            "The model's answer holds half of a surrogate pair; ask it again for valid Unicode."
        ) from error
    return found


def _extract(text: str) -> JsonValue:
    try:
        return _decode_all(text)
    except (ValueError, RecursionError):
        words = _THOUGHT.sub("", text)
    for part in (_fenced(words), _values(words)):
        for kind in (dict, list):
            found: list[JsonValue] = [value for value in part if isinstance(value, kind)]
            if found:
                return _only(found)
    raise UnreadableReply("The model's answer holds no JSON; ask it again for JSON alone.")


def _fenced(text: str) -> list[JsonValue]:
    return [value for block in _FENCE.findall(text) for value in _values(block)]


def _values(text: str) -> list[JsonValue]:
    """Every outermost object or list that can be read from a text."""
    found: list[JsonValue] = []
    place = 0
    while opening := _OPENING.search(text, place):
        value, length = _decode_first(text[opening.start() :])
        if length:
            found.append(value)
        elif _LIKE_JSON.match(text, opening.start()):
            raise UnreadableReply("The model's answer holds JSON that is broken; ask it again.")
        place = opening.start() + max(length, 1)
    return found


def _decode_first(text: str) -> tuple[JsonValue, int]:
    """The value that a text begins with and its length; 0 where it begins with none."""
    try:
        return _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        pass
    blanked = _STRING_OR_TRAILING_COMMA.sub(lambda match: match[1] or " ", text)
    try:
        return _DECODER.raw_decode(blanked)
    except (ValueError, RecursionError):
        return None, 0


def _decode_all(text: str) -> JsonValue:
    value: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _only(values: list[JsonValue]) -> JsonValue:
    if any(value != values[0] for value in values):
        raise UnreadableReply(
            f"The model's answer holds {len(values)} different JSON values; ask it again for one."
        )
    return values[0]
