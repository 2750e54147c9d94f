"""Simulated users: what they tend to write is known, so what is learned of them can be checked.

A user keeps to a profile (favourite topic, register, mood and language): each turn follows each of
its attributes with probability 0.7, and else what people write at large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Literal, NamedTuple

from selfsteer.pocket import grammar
from selfsteer.pocket.grammar import Attributes
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.segments import Document, Segment

PROFILE_FAMILIES = ("topic", "register", "mood", "language")
PROFILE_RATE = 0.7
PROFILE_VALUES = {family: tuple(FAMILIES[family]) for family in PROFILE_FAMILIES}


@dataclass(frozen=True)
class UserProfile:
    """A simulated user: the attribute values that their turns tend to."""

    topic: str
    register: str
    mood: str
    language: str

    @classmethod
    def draw(cls, rng: Random) -> UserProfile:
        """A profile from the prior over attributes."""
        drawn = grammar.draw_attributes(rng)
        return cls(drawn.topic, drawn.register, drawn.mood, drawn.language)

    def turn(self, rng: Random) -> grammar.Sentence:
        """One user turn: each attribute follows the profile at `PROFILE_RATE`, else the prior."""
        kept = {f: getattr(self, f) for f in PROFILE_FAMILIES if rng.random() < PROFILE_RATE}
        return grammar.draw_sentence(
            rng,
            grammar.draw_attributes(rng, **kept),
            persona=False,
            frames=grammar.SHORT_FRAMES,
        )


def dialogue(rng: Random, profile: UserProfile, exchanges: int) -> Document:
    """A chat in which both sides carry loss and the assistant keeps its own attributes."""
    return _chat(rng, [profile] * exchanges)


def _chat(rng: Random, profiles: Sequence[UserProfile]) -> Document:
    """A chat whose n-th user turn follows the n-th profile."""
    assistant = grammar.draw_attributes(rng)
    turns: list[Segment] = []
    for profile in profiles:
        turns.append(Segment("user", grammar.render(profile.turn(rng)), True))
        turns.append(Segment("assistant", grammar.render(_brief(rng, assistant)), True))
    return tuple(turns)


def _brief(rng: Random, attributes: Attributes) -> grammar.Sentence:
    """A short sentence of the assistant: several earlier user turns must stay within reach."""
    with_register = rng.random() < 0.5
    return grammar.draw_sentence(
        rng,
        attributes,
        register=with_register,
        persona=not with_register,
        frames=grammar.SHORT_FRAMES,
    )


Kind = Literal["steady", "drifting", "noisy", "adversarial"]
_NOISE = 0.5  # share of a noisy user's turns that follow nobody's taste


class Liked(NamedTuple):
    """Two replies to what a user wrote, of which the user took the first."""

    prompt: str
    chosen: str
    rejected: str


class Rated(NamedTuple):
    """A reply to what a user wrote, and what the user gave it: more is better."""

    prompt: str
    reply: str
    rating: float


@dataclass(frozen=True)
class SimulatedUser:
    """A user with the truth about them.

    Attributes:
        name: unique within a simulation.
        profile: what the last session follows.
        sessions: chats, in order.
        liked: choices between two replies.
        rated: ratings of single replies.
    """

    name: str
    profile: UserProfile
    sessions: tuple[Document, ...]
    liked: tuple[Liked, ...]
    rated: tuple[Rated, ...]

    @property
    def written_profiles(self) -> tuple[str, ...]:
        """The truth about the user as a person might write it down, in several wordings."""
        p = self.profile
        return (
            f"The user likes {p.topic}, is {p.register}, {p.mood}, and writes {p.language}.",
            f"You talk with a user who writes in {p.language}, about {p.topic}, in a {p.register} "
            f"style and a {p.mood} mood.",
            f"User profile: topic {p.topic}; style {p.register}; mood {p.mood}; language "
            f"{p.language}.",
        )

    @property
    def truth(self) -> dict[str, str]:
        """The profile's value of every family."""
        return {family: getattr(self.profile, family) for family in PROFILE_FAMILIES}


def simulate(
    n: int, *, seed: int, kind: Kind = "steady", sessions: int = 2, exchanges: int = 10
) -> Iterator[SimulatedUser]:
    """Users that write some sessions each; the same seed gives the same users.

    A steady user keeps to one profile. A drifting one changes to another half-way through the
    first session. Of a noisy one's turns half follow no profile. An adversarial one shows in the
    first session a profile that shares no value with that of the sessions behind it.
    """
    for number in range(n):
        rng = Random(f"user-{kind}-{seed}-{number}")
        profile = UserProfile.draw(rng)
        other = _unlike(rng, profile) if kind == "adversarial" else UserProfile.draw(rng)
        first = [profile] * exchanges
        if kind == "drifting":
            first[: exchanges // 2] = [other] * (exchanges // 2)
        if kind == "adversarial":
            first = [other] * exchanges
        told = [first, *([profile] * exchanges for _ in range(sessions - 1))]
        if kind == "noisy":
            told = [[_anybody(rng, one) for one in chat] for chat in told]
        yield SimulatedUser(
            name=f"{kind}-{seed}-{number}",
            profile=profile,
            sessions=tuple(_chat(rng, chat) for chat in told),
            liked=tuple(_liked(rng, profile) for _ in range(exchanges)),
            rated=tuple(_rated(rng, profile) for _ in range(exchanges)),
        )


def trait_messages(n: int, *, seed: int) -> dict[str, list[str]]:
    """For each value of a profile, by its name, messages of many people that all show it."""
    rng = Random(f"traits-{seed}")
    return {
        value: [grammar.render(_showing(rng, family, value)) for _ in range(n)]
        for family, values in PROFILE_VALUES.items()
        for value in values
    }


def _showing(rng: Random, family: str, value: str) -> grammar.Sentence:
    attributes = grammar.draw_attributes(rng, **{family: value})
    return grammar.draw_sentence(rng, attributes, persona=False, frames=grammar.SHORT_FRAMES)


def _anybody(rng: Random, profile: UserProfile) -> UserProfile:
    return UserProfile.draw(rng) if rng.random() < _NOISE else profile


def _unlike(rng: Random, profile: UserProfile) -> UserProfile:
    values = {
        field.name: rng.choice(
            [value for value in FAMILIES[field.name] if value != getattr(profile, field.name)]
        )
        for field in fields(profile)
    }
    return UserProfile(**values)


def _liked(rng: Random, profile: UserProfile) -> Liked:
    """A reply to the user's taste, and one to another's."""
    asked = grammar.render(profile.turn(rng))
    chosen, rejected = profile.turn(rng), _unlike(rng, profile).turn(rng)
    return Liked(asked, grammar.render(chosen), grammar.render(rejected))


def _rated(rng: Random, profile: UserProfile) -> Rated:
    """The rating counts what a reply has of the profile, give or take half a point."""
    reply = UserProfile.draw(rng).turn(rng)
    hits = sum(getattr(reply.attributes, f) == getattr(profile, f) for f in PROFILE_FAMILIES)
    asked = grammar.render(profile.turn(rng))
    return Rated(asked, grammar.render(reply), hits + rng.uniform(-0.5, 0.5))
