"""The goals: every attribute value, and pairs of values, in wordings that training never used."""

from __future__ import annotations

from random import Random

from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.showcase import ShowcaseGoal, draw_goal

SEEDS = (0, 1, 2)
PAIRS: tuple[dict[str, str], ...] = (
    {"mood": "gloomy", "register": "formal"},
    {"topic": "sea", "language": "german"},
)
ASKED: tuple[dict[str, str], ...] = (
    *({family: value} for family, values in FAMILIES.items() for value in values),
    *PAIRS,
)


def goal_of(asked: dict[str, str], seed: int) -> ShowcaseGoal:
    """A goal in a wording that the seed picks."""
    rng = Random(f"bench-loop-{'-'.join(asked.values())}-{seed}")
    return draw_goal(rng, asked)


def drawn(count: int, seed: int) -> list[dict[str, str]]:
    """Some of the goals; all of them where `count` says so."""
    return Random(f"bench-loop-{seed}").sample(ASKED, min(count, len(ASKED)))


def name_of(asked: dict[str, str]) -> str:
    """The values, as file names and tables have them."""
    return "+".join(asked.values())
