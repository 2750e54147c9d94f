"""The oracle: markers, expression, and a parse that mutations do not survive."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from selfsteer.pocket import grammar, oracle
from selfsteer.pocket.grammar import Sentence
from selfsteer.pocket.lexicon import FAMILIES, LANGUAGES, MOODS, TOPICS
from tests.pocket.worlds import attributes, cores, replies, rngs

NO_TEXT = ["", " ", "\n", ".", " . ", "...", "!"]


def test_a_marker_belongs_to_one_value_of_one_family() -> None:
    """Against the lexicon itself, by the definition and not by the code."""
    for family, value, phrase in grammar.phrases():
        for text in phrase:
            for word in oracle.words(text):
                for other, marks in oracle.markers().items():
                    if other != "language":
                        assert marks.get(word) in ({None, value} if other == family else {None})


def test_a_language_marker_occurs_in_no_other_language() -> None:
    marks = oracle.markers()["language"]
    assert set(marks.values()) == set(LANGUAGES)
    for *_, phrase in grammar.phrases():
        for language, text in zip(LANGUAGES, phrase, strict=True):
            assert {marks.get(word) for word in oracle.words(text)} <= {None, language}


def test_every_phrase_of_every_language_marks_its_value() -> None:
    marks = oracle.markers()
    for family, value, phrase in grammar.phrases():
        for text in phrase:
            assert value in {marks[family].get(word) for word in oracle.words(text)}, text


def test_every_value_has_markers() -> None:
    for family, values in FAMILIES.items():
        assert set(oracle.markers()[family].values()) == set(values)


@pytest.mark.parametrize("text", NO_TEXT)
def test_no_text_is_malformed_and_expresses_nothing(text: str) -> None:
    assert not oracle.well_formed(text)
    for family, values in FAMILIES.items():
        assert not any(oracle.expresses(text, **{family: value}) for value in values)


@given(cores(), st.data())
def test_a_dropped_word_is_malformed(sentence: Sentence, data: st.DataObject) -> None:
    words = grammar.render(sentence).split(" ")
    del words[data.draw(st.integers(0, len(words) - 1))]
    assert not oracle.well_formed(" ".join(words))


@given(cores(), st.data())
def test_swapped_words_are_malformed(sentence: Sentence, data: st.DataObject) -> None:
    words = grammar.render(sentence).split(" ")
    i = data.draw(st.integers(0, len(words) - 2))
    assume(words[i] != words[i + 1])
    words[i : i + 2] = words[i + 1], words[i]
    assert not oracle.well_formed(" ".join(words))


@given(cores(), st.data())
def test_a_doubled_word_is_malformed(sentence: Sentence, data: st.DataObject) -> None:
    words = grammar.render(sentence).split(" ")
    i = data.draw(st.integers(0, len(words) - 1))
    assert not oracle.well_formed(" ".join([*words[:i], words[i], *words[i:]]))


@given(cores(), st.data(), st.sampled_from(["frog", "frog.", "garden", "le", "Ruhe", ","]))
def test_an_added_word_is_malformed(sentence: Sentence, data: st.DataObject, word: str) -> None:
    text = grammar.render(sentence)
    words = text.removesuffix(".").split(" ")
    words.insert(data.draw(st.integers(0, len(words))), word)
    assert not oracle.well_formed(" ".join(words) + ".")


@given(replies(), st.data())
def test_a_cut_tail_is_malformed(reply: list[Sentence], data: st.DataObject) -> None:
    text = grammar.render_reply(reply)
    ends = [i for i, letter in enumerate(text, start=1) if letter == "."]
    cut = data.draw(st.integers(1, len(text) - 1))
    assume(not any(end <= cut <= end + 1 for end in ends))  # whole sentences are left
    assert not oracle.well_formed(text[:cut])


@given(replies(least=2), st.data())
def test_a_missing_head_is_malformed(reply: list[Sentence], data: st.DataObject) -> None:
    bare = [replace(sentence, register=None, persona=None) for sentence in reply]
    text = grammar.render_reply(bare)
    words = text.split(" ")
    first = len(grammar.render(bare[0]).split(" "))
    assert not oracle.well_formed(" ".join(words[data.draw(st.integers(1, first - 1)) :]))


@given(replies(), st.data())
def test_a_repeated_sentence_is_malformed(reply: list[Sentence], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(reply))
    at = data.draw(st.integers(0, len(reply)))
    assert not oracle.well_formed(grammar.render_reply([*reply[:at], again, *reply[at:]]))


@given(cores(), st.data())
def test_two_languages_in_one_sentence_are_malformed(
    sentence: Sentence, data: st.DataObject
) -> None:
    """The slot of manner or clause, filled in another language."""
    own = LANGUAGES.index(sentence.attributes.language)
    other = data.draw(st.sampled_from([c for c in range(len(LANGUAGES)) if c != own]))
    mood = MOODS[sentence.attributes.mood]
    manner, clause = mood.manners[sentence.manner], mood.clauses[sentence.clause]
    text = grammar.render(sentence)
    foreign = text.replace(manner[own], manner[other]).replace(clause[own], clause[other])
    assert foreign != text
    assert not oracle.well_formed(foreign)


@given(replies(least=2), st.data())
def test_each_sentence_may_have_its_own_language(
    reply: list[Sentence], data: st.DataObject
) -> None:
    """Well-formed, but then no language is expressed."""
    languages = [data.draw(st.sampled_from(LANGUAGES)) for _ in reply]
    text = grammar.render_reply(
        [s.rewritten(language=name) for s, name in zip(reply, languages, strict=True)]
    )
    assert oracle.well_formed(text)
    expected = set(languages) == {languages[0]}
    assert oracle.expresses(text, language=languages[0]) == expected
    assert oracle.consistent(text) == expected


@given(rngs, attributes)
def test_the_parse_is_blind_to_attributes(rng: Random, wanted: grammar.Attributes) -> None:
    """Slots of different topics and moods in one sentence still parse."""
    column = LANGUAGES.index(wanted.language)

    def any_of(*tables: tuple[grammar.Phrase, ...]) -> str:
        return rng.choice([phrase for table in tables for phrase in table])[column]

    topics, moods = TOPICS.values(), MOODS.values()
    text = rng.choice(grammar.FRAMES)[column].format(
        S=any_of(*(t.subjects for t in topics)),
        P=any_of(*(t.predicates for t in topics)),
        N=any_of(*(t.things for t in topics)),
        L=any_of(*(t.places for t in topics)),
        M=any_of(*(m.manners for m in moods)),
        C=any_of(*(m.clauses for m in moods)),
    )
    assert oracle.parses(text[0].upper() + text[1:] + ".")


@given(replies(), st.sampled_from(["mood", "register", "topic", "persona"]), rngs)
def test_a_value_mixed_with_another_is_not_expressed(
    reply: list[Sentence], family: str, rng: Random
) -> None:
    own = getattr(reply[0].attributes, family)
    other = rng.choice([value for value in FAMILIES[family] if value != own])
    text = grammar.render_reply(reply)
    stranger = rng.choice([p for f, v, p in grammar.phrases() if (f, v) == (family, other)])
    mixed = f"{text} {stranger[LANGUAGES.index(reply[0].attributes.language)]}"
    assert oracle.expresses(text, **{family: own})
    assert not oracle.expresses(mixed, **{family: own})
    assert not oracle.expresses(mixed, **{family: other})
    assert not oracle.consistent(mixed)


@given(replies())
def test_a_goal_over_two_families_needs_both(reply: list[Sentence]) -> None:
    mine = reply[0].attributes
    text = grammar.render_reply(reply)
    elsewhere = next(topic for topic in FAMILIES["topic"] if topic != mine.topic)
    assert oracle.expresses(text, mood=mine.mood, topic=mine.topic)
    assert not oracle.expresses(text, mood=mine.mood, topic=elsewhere)


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    found = oracle.expressed(text)
    assert set(found) == set(FAMILIES)
    assert oracle.consistent(text) == all(len(values) <= 1 for values in found.values())
    oracle.well_formed(text)


def test_only_the_case_of_the_first_letter_is_free() -> None:
    assert oracle.well_formed("The bee visits the tulips happily.")
    assert not oracle.well_formed("the bee visits the tulips happily.")
    assert not oracle.well_formed("The Bee visits the tulips happily.")
    assert oracle.well_formed("Heute sehe ich die Wiese ruhig.")
    assert not oracle.well_formed("Heute sehe ich die wiese ruhig.")
