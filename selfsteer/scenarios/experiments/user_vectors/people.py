"""The simulated people of the study, in the form in which a student reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfsteer.pocket.segments import Document
from selfsteer.pocket.users import Kind, SimulatedUser, simulate
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import Choice, History, Rated

TURNS = 10  # messages of a session


@dataclass(frozen=True)
class Person:
    """A simulated user with what may be learned from and what judges.

    Attributes:
        user: with the truth.
        past: two sessions; the latest ten messages are the second one.
        sessions: the same two as conversations.
        future: a third session, for judging only.
    """

    user: SimulatedUser
    past: History
    sessions: tuple[tuple[Message, ...], ...]
    future: History


def people(n: int, seed: int, kind: Kind = "steady") -> list[Person]:
    """``n`` simulated users; the same seed gives the same ones."""
    return [_person(user) for user in simulate(n, seed=seed, kind=kind, sessions=3)]


def crowd(n: int, seed: int) -> list[History]:
    """The population that is learned from: two sessions of each of ``n`` users."""
    return [
        History.of_sessions(map(_chat, user.sessions))
        for user in simulate(n, seed=seed, sessions=2)
    ]


def _person(user: SimulatedUser) -> Person:
    sessions = tuple(map(_chat, user.sessions))
    turns = History.of_sessions(sessions)
    past, future = turns.split(2 * TURNS)
    half = len(user.liked) // 2
    choices = [Choice(_asked(liked.prompt), liked.chosen, liked.rejected) for liked in user.liked]
    ratings = [Rated(_asked(rated.prompt), rated.reply, rated.rating) for rated in user.rated]
    return Person(
        user=user,
        past=History(past.turns, tuple(choices[:half]), tuple(ratings[:half])),
        sessions=sessions[:2],
        future=History(future.turns, tuple(choices[half:]), tuple(ratings[half:])),
    )


def others(people: Sequence[Person], number: int, count: int) -> list[int]:
    """The ``count`` people behind one in the list, round it, whose profiles are not the same."""
    order = [(number + step) % len(people) for step in range(1, len(people))]
    mine = people[number].user.profile
    return [place for place in order if people[place].user.profile != mine][:count]


def _chat(document: Document) -> tuple[Message, ...]:
    return tuple(
        Message(role=s.role, content=s.text)
        for s in document
        if s.role == "user" or s.role == "assistant"
    )


def _asked(words: str) -> tuple[Message, ...]:
    return (Message(role="user", content=words),)
