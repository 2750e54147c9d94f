"""Replies that a user chose between or rated, as rows of tokens; and what of a history is cut."""

from __future__ import annotations

from collections.abc import Sequence

from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.lengths import beginning, fitting, is_cut, newest
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Message, Prompt
from selfsteer.steering.users.history import History


def reply_row(student: Student, prompt: Sequence[Message], reply: str) -> Encoded:
    """A reply to a conversation: the beginning of a long one, to the newest that there is room for.

    Raises:
        StudentError: as `encode` does.
    """
    completion = beginning(student, reply)

    def row(asked: tuple[Message, ...]) -> Encoded:
        return encode(student, Example(prompt=Prompt(messages=asked), completion=completion))

    *before, last = newest(student, prompt)
    return fitting(student, before, lambda kept: row((*kept, last)))


def cut_texts(student: Student, history: History) -> int:
    """Of how many messages and replies of a user only the beginning counts."""
    texts = [turn.words for turn in history.turns]
    texts += [text for choice in history.choices for text in (choice.chosen, choice.rejected)]
    texts += [rated.reply for rated in history.ratings]
    return sum(is_cut(student, text) for text in texts)
