"""Drawn replies: what they express, that they do not repeat, and that attributes vary alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.pocket import grammar, oracle
from selfsteer.pocket.grammar import Attributes, Sentence
from selfsteer.pocket.judging import fit_indices
from selfsteer.pocket.lexicon import FAMILIES, LANGUAGES, TOPICS
from tests.pocket.worlds import attributes, families, replies, rngs


@given(replies())
def test_every_reply_parses_and_expresses_its_attributes_and_no_other(
    reply: list[Sentence],
) -> None:
    text = grammar.render_reply(reply)
    assert oracle.well_formed(text)
    found = oracle.expressed(text)
    for family, value in reply[0].attributes._asdict().items():
        assert set(found[family]) == {value}


@given(replies(least=2, most=7))
def test_no_sentence_is_said_twice_in_other_trimmings(reply: list[Sentence]) -> None:
    bare = [grammar.render(replace(s, register=None, persona=None)) for s in reply]
    assert len(set(bare)) == len(bare)


@given(replies(), st.sampled_from(LANGUAGES))
def test_a_reply_is_the_same_in_every_language(reply: list[Sentence], language: str) -> None:
    """Translations express the same but for the language, sentence by sentence."""
    for sentence in reply:
        translated = grammar.render(sentence.rewritten(language=language))
        assert oracle.parses(translated)
        before = oracle.expressed(grammar.render(sentence))
        after = oracle.expressed(translated)
        for family in FAMILIES:
            expected = {language} if family == "language" else set(before[family])
            assert set(after[family]) == expected


@given(replies(), families, rngs)
def test_rewriting_an_attribute_changes_only_its_family(
    reply: list[Sentence], family: str, rng: Random
) -> None:
    value = rng.choice([v for v in FAMILIES[family] if v != getattr(reply[0].attributes, family)])
    rewritten = [fit_indices(sentence.rewritten(**{family: value})) for sentence in reply]
    text = grammar.render_reply(rewritten)
    assert oracle.well_formed(text)
    found = oracle.expressed(text)
    for other, kept in reply[0].attributes._asdict().items():
        assert set(found[other]) == {value if other == family else kept}


@given(rngs, attributes)
def test_fixed_families_are_kept_when_drawing(rng: Random, wanted: Attributes) -> None:
    for family, value in wanted._asdict().items():
        assert getattr(grammar.draw_attributes(rng, **{family: value}), family) == value


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_attributes_follow_the_prior(family: str) -> None:
    rng, n = Random(5), 6000
    counts = Counter(getattr(grammar.draw_attributes(rng), family) for _ in range(n))
    values = FAMILIES[family]
    prior = grammar.LANGUAGE_PRIOR if family == "language" else (1 / len(values),) * len(values)
    assert sum(prior) == pytest.approx(1)
    for value, share in zip(values, prior, strict=True):
        assert abs(counts[value] / n - share) < 4 * sqrt(share * (1 - share) / n)


@given(rngs, attributes)
def test_a_reply_of_one_sentence_has_all_its_trimmings(rng: Random, wanted: Attributes) -> None:
    """So that no attribute of a short reply goes unexpressed."""
    [sentence] = grammar.draw_reply(rng, wanted, 1)
    assert sentence.register is not None
    assert sentence.persona is not None


def test_phrases_are_parallel_and_said_once_in_a_language() -> None:
    for column, language in enumerate(LANGUAGES):
        texts = Counter(phrase[column] for _, _, phrase in grammar.phrases())
        assert texts, language
        assert [text for text, count in texts.items() if count > 1] == []
    assert all(len(phrase) == len(LANGUAGES) and all(phrase) for *_, phrase in grammar.phrases())


@given(rngs, attributes)
def test_short_sentences_name_no_place(rng: Random, wanted: Attributes) -> None:
    sentence = grammar.draw_sentence(rng, wanted, frames=grammar.SHORT_FRAMES)
    column = LANGUAGES.index(wanted.language)
    place = TOPICS[wanted.topic].places[sentence.place][column]
    assert place not in grammar.render(sentence)
    assert oracle.parses(grammar.render(sentence))
