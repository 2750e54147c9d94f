"""Opposites: one answer a word, and both ways."""

from __future__ import annotations

from random import Random

from hypothesis import given

from selfsteer.pocket.opposites import _QUESTIONS, opposite_question, opposites
from selfsteer.pocket.wordings import ADJECTIVES
from tests.pocket.worlds import rngs

TABLE = opposites()


def test_opposites_go_both_ways() -> None:
    """For a pair the word comes back; a synonym comes back as the name of its value."""
    value_of = {
        synonym: value
        for values in ADJECTIVES.values()
        for value, synonyms in values.items()
        for synonym in synonyms
    }
    for word, answer in TABLE.items():
        assert TABLE[answer] == value_of.get(word, word)
        assert answer != word


def test_every_value_with_an_opposite_is_covered_by_all_its_synonyms() -> None:
    for family, value in (("mood", "cheerful"), ("mood", "neutral"), ("register", "casual")):
        assert len({TABLE[synonym] for synonym in ADJECTIVES[family][value]}) == 1
    assert TABLE["miserable"] == "cheerful"
    assert TABLE["slangy"] == "formal"
    assert TABLE["hot"] == "cold"
    assert "plain" not in TABLE  # the middle register has none


@given(rngs)
def test_a_question_is_answered_from_the_table(rng: Random) -> None:
    question, answer = opposite_question(rng)
    asked = [word for word in TABLE for q in _QUESTIONS if q.format(w=word) == question]
    assert [TABLE[word] for word in asked] == [answer]
