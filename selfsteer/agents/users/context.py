"""A user's raw history as a student can see it: the newest messages that fit, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfsteer.steering.encoding import encode, encode_turn
from selfsteer.steering.lengths import newest
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message, Prompt
from selfsteer.steering.users.history import History
from selfsteer.steering.users.replies import reply_row


@dataclass(frozen=True)
class Context:
    """What stands before a user's next message.

    Attributes:
        messages: the newest ones, of both sides.
        of: how many there are in all.
        tokens: what they take, with what the chat template writes around them.
        room: tokens that the student reads in all; None where it does not say.
        reach: tokens that a token can be told by; None where all that is read is seen.
    """

    messages: tuple[Message, ...]
    of: int
    tokens: int
    room: int | None
    reach: int | None

    def __str__(self) -> str:
        told = f"{self.tokens} tokens, the newest {len(self.messages)} of {self.of} messages"
        if self.room is not None:
            told += f"; the student reads {self.room}"
        if self.reach is not None:
            told += f" and remembers {self.reach}"
        return told


def as_context(student: Student, said: Sequence[Message], judged: History) -> Context:
    """The end of a conversation, as much as a student can see of it before what judges.

    Whole messages are kept, from the newest back: until the student's context would not hold the
    longest row that is judged, and no further back than it can be told by.
    """
    limit = student.context_length
    room = None if limit is None else limit - _longest(student, judged)
    around = _around(student)
    kept: list[Message] = []
    taken = seen = 0
    for message in reversed(newest(student, said)):
        words = len(student.tokenizer(message.content, add_special_tokens=False)["input_ids"])
        taken += words + around
        begun = not kept or kept[-1].role == "user"
        out_of_reach = student.reach is not None and seen >= student.reach and begun
        if (room is not None and taken > room) or out_of_reach:
            break
        kept.append(message)
        seen += words
    kept.reverse()
    # Words may take more tokens among others than by themselves; and templates want what is left
    # of a conversation to begin with the user.
    while kept and len(kept) < len(said) and (kept[0].role != "user" or _over(student, kept, room)):
        del kept[0]
    return Context(tuple(kept), len(said), _tokens(student, kept), limit, student.reach)


def _over(student: Student, messages: Sequence[Message], room: int | None) -> bool:
    return room is not None and _tokens(student, messages) > room


def conversation(history: History) -> tuple[Message, ...]:
    """All that was said up to the last of a user's messages, by both sides, once each, in order.

    What others said stands before the message that follows it in its session.
    """
    said: list[Message] = []
    told: dict[str, int] = {}  # how many messages of each session
    for turn in history.turns:
        said += [*turn.before[told.get(turn.session, 0) :], _by_user(turn.words)]
        told[turn.session] = len(turn.before) + 1
    return tuple(said)


def _around(student: Student) -> int:
    """Tokens that a conversation has around each message."""
    one = _by_user("-")
    more = (one, Message(role="assistant", content="-"), one)
    alone, among = (len(encode(student, Prompt(messages=told)).ids) for told in ((one,), more))
    words = len(student.tokenizer("-", add_special_tokens=False)["input_ids"])
    return (among - alone) // 2 - words


def _longest(student: Student, judged: History) -> int:
    """Tokens of the longest row that is judged, without what stands before it."""
    rows = [encode_turn(student, [_by_user(turn.words)]) for turn in judged.turns]
    replies = [(c.prompt, text) for c in judged.choices for text in (c.chosen, c.rejected)]
    replies += [(rated.prompt, rated.reply) for rated in judged.ratings]
    rows += [reply_row(student, prompt, text) for prompt, text in replies]
    return max((len(row.ids) for row in rows), default=0)


def _tokens(student: Student, messages: Sequence[Message]) -> int:
    last = _by_user("-")
    whole, alone = (encode_turn(student, [*told, last]) for told in (messages, ()))
    return len(whole.ids) - len(alone.ids)


def _by_user(words: str) -> Message:
    return Message(role="user", content=words)
