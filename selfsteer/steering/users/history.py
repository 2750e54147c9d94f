"""What is known of one user, in the form in which a student can read it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
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
        session: names its session within the history; others may go on between its turns.
    """

    words: str
    before: tuple[Message, ...] = ()
    source: str = ""
    session: str = ""


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
            Turn(message.content, tuple(session[:place]), session=f"{number}")
            for number, session in enumerate(sessions)
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
        named -= {""}
        return frozenset(named.union(*(choice.sources for choice in self.choices)))

    def latest(self, turns: int) -> History:
        """The same with the last ``turns`` messages only."""
        return replace(self, turns=self.turns[len(self.turns) - turns :] if turns else ())

    def newest(self, most: int) -> History:
        """The newest ``most`` of each kind."""
        return History(self.turns[-most:], self.choices[-most:], self.ratings[-most:])

    def halves(self) -> tuple[History, History]:
        """The older half of each kind, and the newer one; the one in the middle is older."""
        turns, choices, ratings = (
            (len(kind) + 1) // 2 for kind in (self.turns, self.choices, self.ratings)
        )
        return (
            History(self.turns[:turns], self.choices[:choices], self.ratings[:ratings]),
            History(self.turns[turns:], self.choices[choices:], self.ratings[ratings:]),
        )

    def parted(self, sources: Collection[str]) -> tuple[History, History]:
        """What comes from these observations, and what does not; the turns keep their context."""
        known = frozenset(sources)
        return (
            History(
                tuple(one for one in self.turns if one.source in known),
                tuple(one for one in self.choices if known.intersection(one.sources)),
                tuple(one for one in self.ratings if one.source in known),
            ),
            History(
                tuple(one for one in self.turns if one.source not in known),
                tuple(one for one in self.choices if not known.intersection(one.sources)),
                tuple(one for one in self.ratings if one.source not in known),
            ),
        )

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
