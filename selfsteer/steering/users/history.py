"""What is known of one user, in the form in which a student can read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from selfsteer.errors import DatasetError
from selfsteer.steering.prompts import Message


@dataclass(frozen=True)
class Turn:
    """A message that the user wrote.

    Attributes:
        words: the message.
        before: what was said earlier in its session.
        source: id of the observation that it comes from.
    """

    words: str
    before: tuple[Message, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Choice:
    """Two replies to a conversation, of which the user preferred one.

    Attributes:
        prompt: the conversation that both reply to.
        source: id of the observation that it comes from.
        accepted: id of the other one, where the replies were observed apart.
    """

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    source: str = ""
    accepted: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The ids of all observations that it comes from."""
        return tuple(name for name in (self.source, self.accepted) if name)


@dataclass(frozen=True)
class Rated:
    """A reply to a conversation and what the user gave it; more is better.

    Attributes:
        prompt: the conversation that it replies to.
        rating: finite, on any scale of the user's own.
        source: id of the observation that it comes from.
    """

    prompt: tuple[Message, ...]
    reply: str
    rating: float
    source: str = ""


@dataclass(frozen=True)
class History:
    """All of one user, each kind in the order in which it happened.

    Attributes:
        turns: messages that hold words.
        choices: preferences, edits (the edited reply was preferred) and regenerated replies.
        ratings: replies with the user's rating.

    Raises:
        DatasetError: a rating that is not finite.
    """

    turns: tuple[Turn, ...] = ()
    choices: tuple[Choice, ...] = ()
    ratings: tuple[Rated, ...] = ()

    def __post_init__(self) -> None:
        for rated in self.ratings:
            if not math.isfinite(rated.rating):
                raise DatasetError(f"A rating is {rated.rating}; ratings must be finite numbers.")

    @classmethod
    def of_sessions(cls, sessions: Iterable[Sequence[Message]]) -> History:
        """The user's turns of some conversations; empty messages are left out."""
        turns = [
            Turn(message.content, tuple(session[:place]))
            for session in sessions
            for place, message in enumerate(session)
            if message.role == "user" and message.content.strip()
        ]
        return cls(tuple(turns))

    @property
    def size(self) -> int:
        """The number of observations."""
        return len(self.turns) + len(self.choices) + len(self.ratings)

    @property
    def sources(self) -> frozenset[str]:
        """The ids of all observations that it comes from."""
        named = {turn.source for turn in self.turns} | {rated.source for rated in self.ratings}
        return frozenset(named.union(*(choice.sources for choice in self.choices)) - {""})

    def latest(self, turns: int) -> History:
        """The same with the last ``turns`` messages only."""
        return replace(self, turns=self.turns[len(self.turns) - turns :] if turns else ())

    def split(self, turns: int) -> tuple[History, History]:
        """The first ``turns`` messages to learn from, and the others to judge by.

        Choices and ratings are dealt out in the same share, rounded down.
        """
        share = turns / len(self.turns) if self.turns else 0.5
        liked, rated = int(share * len(self.choices)), int(share * len(self.ratings))
        return (
            History(self.turns[:turns], self.choices[:liked], self.ratings[:rated]),
            History(self.turns[turns:], self.choices[liked:], self.ratings[rated:]),
        )
