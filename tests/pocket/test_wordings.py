"""Wordings: many, in good English, and what was held out stays out."""

from __future__ import annotations

import re
from itertools import chain
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.pocket import wordings
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.wordings import Split, instruction, instructions, synonyms, with_article
from tests.pocket.worlds import rngs

TRAIN = {
    "mood": wordings.ADJECTIVE_TEMPLATES + wordings.NOUN_TEMPLATES,
    "register": wordings.ADJECTIVE_TEMPLATES + wordings.NOUN_TEMPLATES,
    "topic": wordings.TOPIC_TEMPLATES,
    "language": wordings.LANGUAGE_TEMPLATES,
    "persona": wordings.PERSONA_TEMPLATES,
}
HELD_OUT = {
    "mood": wordings.ADJECTIVE_HELD_OUT + wordings.NOUN_HELD_OUT,
    "register": wordings.ADJECTIVE_HELD_OUT + wordings.NOUN_HELD_OUT,
    "topic": wordings.TOPIC_HELD_OUT,
    "language": wordings.LANGUAGE_HELD_OUT,
    "persona": wordings.PERSONA_HELD_OUT,
}
VALUES = [(family, value) for family, values in FAMILIES.items() for value in values]
ARTICLE = re.compile(r"(?<!\w)(an?) (\w)", re.IGNORECASE)


def pattern(template: str) -> re.Pattern[str]:
    """Finds a template with anything in its slot, whichever article stands before it."""
    text = re.escape(re.sub(r"\{.\}", "SLOT", template)).replace("SLOT", ".+")
    return re.compile(r"(?<!\w)" + re.sub(r"(?<!\w)an?\\ ", r"an?\\ ", text), re.IGNORECASE)


HELD_OUT_PATTERNS = [pattern(template) for template in sorted(set(chain(*HELD_OUT.values())))]


@given(rngs, st.sampled_from(VALUES))
def test_the_patterns_find_held_out_wordings(rng: Random, asked: tuple[str, str]) -> None:
    text = instruction(rng, *asked, split="held_out")
    assert any(found.search(text) for found in HELD_OUT_PATTERNS)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_held_out_template_never_occurs_in_training(family: str) -> None:
    rng = Random(f"templates-{family}")
    texts = [instructions(rng, {family: rng.choice(FAMILIES[family])}) for _ in range(3000)]
    assert [t for t in texts if any(p.search(t) for p in HELD_OUT_PATTERNS)] == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_held_out_pair_of_template_and_synonym_never_occurs(family: str) -> None:
    rng = Random(f"pairs-{family}")
    for value in FAMILIES[family]:
        held_out = {
            with_article(template, synonym)
            for template in TRAIN[family]
            for synonym in synonyms(family, value)
            if wordings._held_out_pair(template, synonym)
        }
        assert held_out
        drawn = {instruction(rng, family, value) for _ in range(3000)}
        assert drawn & held_out == set()


def test_about_one_pair_in_sixteen_is_held_out() -> None:
    pairs = [(t, s) for f, v in VALUES for t in TRAIN[f] for s in synonyms(f, v)]
    share = sum(wordings._held_out_pair(*pair) for pair in pairs) / len(pairs)
    assert 0.8 / 16 < share < 1.2 / 16


@pytest.mark.parametrize(("family", "value"), VALUES)
def test_there_are_hundreds_of_wordings_of_a_value(family: str, value: str) -> None:
    """As system prompts, manners and punctuation included; the bare clauses are many as well."""
    rng = Random(f"{family}-{value}")
    assert len({instruction(rng, family, value) for _ in range(2000)}) > 100
    assert len({instructions(rng, {family: value}) for _ in range(1000)}) > 500
    assert len({instruction(rng, family, value, "held_out") for _ in range(1000)}) >= 20


def test_a_synonym_asks_for_one_value_only() -> None:
    owner: dict[str, tuple[str, str]] = {}
    for family, value in VALUES:
        for synonym in synonyms(family, value):
            assert owner.setdefault(synonym.lower(), (family, value)) == (family, value)


@pytest.mark.parametrize(("family", "value"), VALUES)
def test_an_before_a_vowel(family: str, value: str) -> None:
    """No synonym starts with a silent consonant or a consonantal vowel, so letters decide."""
    found = 0
    for template in TRAIN[family] + HELD_OUT[family]:
        for synonym in synonyms(family, value):
            for article, letter in ARTICLE.findall(with_article(template, synonym)):
                assert (article.lower() == "an") == (letter.lower() in "aeiou")
                found += 1
    assert found or family in ("topic", "language")


@pytest.mark.parametrize(
    ("template", "synonym", "text"),
    [
        ("be a {n}", "android", "be an android"),
        ("a {a} voice", "irate", "an irate voice"),
        ("a {a} voice", "sad", "a sad voice"),
        ("sound {a}", "angry", "sound angry"),
        ("tone: {a}", "upbeat", "tone: upbeat"),
    ],
)
def test_articles(template: str, synonym: str, text: str) -> None:
    assert with_article(template, synonym) == text


@given(rngs, st.sampled_from(["train", "held_out"]))
def test_a_system_prompt_asks_for_every_value(rng: Random, split: Split) -> None:
    asked = {family: rng.choice(values) for family, values in FAMILIES.items()}
    text = instructions(rng, asked, split).lower()
    for family, value in asked.items():
        assert any(synonym.lower() in text for synonym in synonyms(family, value))


@given(st.integers(), st.sampled_from(VALUES), st.sampled_from(["train", "held_out"]))
def test_wordings_are_a_function_of_the_seed(
    seed: int, asked: tuple[str, str], split: Split
) -> None:
    assert instruction(Random(seed), *asked, split) == instruction(Random(seed), *asked, split)
