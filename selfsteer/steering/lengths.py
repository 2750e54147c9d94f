"""How much of a long text a student reads: no row is longer than its context.

A message may have a megabyte. What reading costs grows with the square of the length, and positions
that the student was never trained on say nothing; so of what it is to say the beginning counts, and
of what leads to that the end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from selfsteer.steering.prompts import Message

if TYPE_CHECKING:
    from selfsteer.steering.encoding import Encoded
    from selfsteer.steering.model import Student

MOST_TOKENS = 2048
"""Of one message that the student is to say, where its context has room for twice as many."""

# Characters that a token has at most, on average: what lies beyond is not even tokenised.
_CHARACTERS = 16


def most_tokens(student: Student) -> int:
    """How many tokens of one message count: half of the context is left to what stands before."""
    length = student.context_length
    return MOST_TOKENS if length is None else max(1, min(MOST_TOKENS, length // 2))


def beginning(student: Student, text: str) -> str:
    """A text without the characters that no `most_tokens` tokens could hold."""
    most = _CHARACTERS * most_tokens(student)
    return text if len(text) <= most else text.lstrip()[:most]


def newest(student: Student, messages: Sequence[Message]) -> tuple[Message, ...]:
    """A conversation without the characters at its beginning that no context could hold."""
    if student.context_length is None:
        return tuple(messages)
    room = _CHARACTERS * student.context_length
    kept: list[Message] = []
    for message in reversed(messages):
        if room <= 0:
            break
        kept.append(message.model_copy(update={"content": message.content[-room:]}))
        room -= len(message.content)
    return tuple(reversed(kept))


def fitting(
    student: Student, messages: Sequence[Message], row: Callable[[tuple[Message, ...]], Encoded]
) -> Encoded:
    """The row of a conversation, without its oldest messages where the context has no room.

    Messages of the system stay, and what is left begins with one of the user's, as chat templates
    want it. What is too long even so is cut: see `within`.

    Args:
        row: encodes what stands before, with what follows it.
    """
    limit = student.context_length

    def fits(one: Encoded) -> bool:
        said = min(len(one.ids) - one.prompt_length, most_tokens(student))
        return limit is None or one.prompt_length + said <= limit

    whole = row(tuple(messages))
    if fits(whole):
        return within(student, whole)
    system = tuple(message for message in messages if message.role == "system")
    said = tuple(message for message in messages if message.role != "system")
    starts = [i for i, message in enumerate(said) if i and message.role == "user"]
    parts = [(*system, *said[start:]) for start in starts]
    first = bisect_left(parts, True, key=lambda part: fits(row(part)))
    return within(student, row(parts[min(first, len(parts) - 1)]) if parts else whole)


def within(student: Student, row: Encoded) -> Encoded:
    """A row without the end of what is to be said, and without the beginning of its prompt.

    The token that begins every text stays: models lean on it.
    """
    stop = min(len(row.ids), row.prompt_length + most_tokens(student))
    length = student.context_length
    over = 0 if length is None else max(0, stop - length)
    start = int(row.ids[0] in student.special_ids)
    kept = [*range(start), *range(start + over, stop)]
    if len(kept) == len(row.ids):
        return row
    return replace(
        row,
        ids=[row.ids[i] for i in kept],
        prompt_length=row.prompt_length - over,
        roles=[row.roles[i] for i in kept],
        special=[row.special[i] for i in kept],
    )


def is_cut(student: Student, text: str) -> bool:
    """Whether only the beginning of a text counts where the student is to say it."""
    if len(text.encode()) <= most_tokens(student):  # a token has a byte or more
        return False
    start = beginning(student, text)
    ids = student.tokenizer(start, add_special_tokens=False)["input_ids"]
    return len(start) < len(text) or len(ids) > most_tokens(student)
