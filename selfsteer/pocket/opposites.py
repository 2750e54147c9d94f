"""The skill of naming opposites: attribute words and a few everyday pairs."""

from __future__ import annotations

from random import Random

from selfsteer.pocket.wordings import ADJECTIVES

_OPPOSED_VALUES = (
    ("mood", "cheerful", "gloomy"),
    ("mood", "angry", "neutral"),
    ("register", "formal", "casual"),
)
_PAIRS = (
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("old", "young"),
    ("early", "late"),
    ("near", "far"),
    ("open", "closed"),
    ("rich", "poor"),
    ("wet", "dry"),
    ("loud", "quiet"),
    ("heavy", "light"),
    ("strong", "weak"),
    ("full", "empty"),
    ("high", "low"),
    ("left", "right"),
)
_QUESTIONS = (
    "What is the opposite of {w}?",
    "Name the opposite of {w}.",
    "The opposite of {w}?",
    "Which word is the opposite of {w}?",
    "Tell me the opposite of {w}.",
    "Not {w} but ...?",
)


def opposites() -> dict[str, str]:
    """Word -> its opposite; every synonym of a value is answered with the other value's name."""
    table = {word: other for pair in _PAIRS for word, other in (pair, pair[::-1])}
    for family, left, right in _OPPOSED_VALUES:
        for value, other in ((left, right), (right, left)):
            table.update(dict.fromkeys(ADJECTIVES[family][value], other))
    return table


def opposite_question(rng: Random) -> tuple[str, str]:
    """A question and its one-word answer."""
    word, answer = rng.choice(sorted(opposites().items()))
    return rng.choice(_QUESTIONS).format(w=word), answer
