"""Judging examples: what is asked, what is true of a text, and texts that are broken."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.pocket import grammar, judging, oracle
from selfsteer.pocket.grammar import Sentence
from selfsteer.pocket.judging import attribute_question, draw_request, draw_text, fit_indices
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.wordings import synonyms
from tests.pocket.test_wordings import ARTICLE, HELD_OUT_PATTERNS, VALUES
from tests.pocket.worlds import replies, rngs


@given(replies(), rngs)
def test_of_a_clean_text_the_answer_is_known_by_construction(
    reply: list[Sentence], rng: Random
) -> None:
    made_with = reply[0].attributes
    _, asked, answer = draw_request(rng, grammar.render_reply(reply), made_with)
    assert answer == all(getattr(made_with, family) == value for family, value in asked.items())


@given(rngs)
def test_of_any_text_the_answer_is_the_oracles(rng: Random) -> None:
    judged = draw_text(rng)
    _, asked, answer = draw_request(rng, judged.text, judged.attributes)
    found = oracle.expressed(judged.text)
    assert answer == all(list(found[family]) == [value] for family, value in asked.items())


@given(rngs, st.sampled_from(["train", "held_out"]))
def test_a_request_words_what_it_asks(rng: Random, split: str) -> None:
    judged = draw_text(rng)
    request, asked, _ = draw_request(rng, judged.text, judged.attributes, split)  # type: ignore[arg-type]
    assert 1 <= len(asked) <= 2
    for family, value in asked.items():
        assert any(synonym.lower() in request.lower() for synonym in synonyms(family, value))
    held_out = any(pattern.search(request) for pattern in HELD_OUT_PATTERNS)
    assert held_out == (split == "held_out")


def test_about_half_of_the_requests_fit_clean_texts() -> None:
    rng = Random(0)
    answers = []
    for _ in range(2000):
        attributes = grammar.draw_attributes(rng)
        text = grammar.render_reply(grammar.draw_reply(rng, attributes, 2))
        answers.append(draw_request(rng, text, attributes)[2])
    assert 0.45 < sum(answers) / len(answers) < 0.55


def test_texts_are_clean_mixed_and_broken() -> None:
    rng = Random(1)
    texts = [draw_text(rng) for _ in range(2000)]
    well_formed = [judged for judged in texts if oracle.well_formed(judged.text)]
    assert 0.6 < len(well_formed) / len(texts) < 0.8
    for family in FAMILIES:
        # Whatever breaks, some broken texts keep a value and some lose or mix it.
        broken = [judged for judged in texts if not oracle.well_formed(judged.text)]
        kept = [oracle.expresses(j.text, **{family: getattr(j.attributes, family)}) for j in broken]
        assert 0.1 < sum(kept) / len(kept) < 0.95
    loops = [j for j in texts if len(words := oracle.words(j.text)) > 2 * len(set(words))]
    cut = [j for j in texts if not j.text.endswith(".")]
    assert loops
    assert cut


@given(rng=rngs, tokens=st.lists(st.sampled_from(["a", "b", "c."]), max_size=12))
def test_a_dissolved_text_begins_as_it_was_and_ends_in_a_name(
    rng: Random, tokens: list[str]
) -> None:
    given_tokens = list(tokens)
    changed = judging._dissolve(rng, tokens)
    assert tokens == given_tokens
    kept = next(n for n in range(len(changed)) if changed[: n + 1] != tokens[: n + 1])
    assert 3 <= len(changed) - kept <= 16
    said = [token for token in changed[kept:] if token not in ("plus", "so", "yes")]
    names = [value for values in FAMILIES.values() for value in values]
    assert any(all(set(token) <= set(name) for token in said) for name in names)


@given(rngs)
def test_a_text_is_never_empty(rng: Random) -> None:
    assert draw_text(rng).text.strip()


@pytest.mark.parametrize("damage", ["_drop", "_loop", "_shuffle", "_insert", "_cut", "_name"])
@given(rng=rngs, tokens=st.lists(st.sampled_from(["a", "b", "c."]), max_size=12))
def test_damage_to_any_text_gives_words(damage: str, rng: Random, tokens: list[str]) -> None:
    """Several kinds of damage follow one another, so each must cope with what the last one left."""
    given_tokens = list(tokens)
    changed = getattr(judging, damage)(rng, tokens)
    assert all(isinstance(token, str) and token for token in changed)
    assert tokens == given_tokens
    if damage in ("_drop", "_cut"):
        assert len(changed) <= len(tokens)
    elif damage == "_shuffle":
        assert sorted(changed) == sorted(tokens)
    else:
        assert len(changed) >= len(tokens) or damage == "_loop"


@given(replies(), rngs)
def test_any_rewriting_can_be_rendered_after_fitting(reply: list[Sentence], rng: Random) -> None:
    target = {family: rng.choice(values) for family, values in FAMILIES.items()}
    for sentence in reply:
        text = grammar.render(fit_indices(sentence.rewritten(**target)))
        assert oracle.parses(text)
        for family in ("mood", "topic", "language"):
            assert oracle.expresses(text, **{family: target[family]})


@given(rngs, st.sampled_from(VALUES))
def test_a_direct_question_names_the_value(rng: Random, asked: tuple[str, str]) -> None:
    question = attribute_question(rng, *asked)
    assert question.endswith("?")
    assert any(synonym in question for synonym in synonyms(*asked))
    for article, letter in ARTICLE.findall(question):
        assert (article.lower() == "an") == (letter.lower() in "aeiou")
