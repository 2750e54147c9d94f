"""The closed set of facts: size, right answers, and questions that training never asks."""

from __future__ import annotations

import re

import pytest

from selfsteer.pocket.facts import CAPITALS, COLOURS, QUESTIONS, Fact, facts, held_out_questions
from selfsteer.pocket.lexicon import LANGUAGES

FACTS = list(facts())


def wordings(fact: Fact, language: str) -> int:
    return len(QUESTIONS[fact.kind]["train"][LANGUAGES.index(language)])


TRAINED = {
    fact.question(language, number)
    for fact in FACTS
    for language in LANGUAGES
    for number in range(wordings(fact, language))
}


def test_the_set_is_closed() -> None:
    kinds = [fact.kind for fact in FACTS]
    assert [kinds.count(kind) for kind in ("sum", "capital", "colour")] == [36, 12, 8]
    assert len(set(FACTS)) == len(FACTS)
    assert len({fact.statement("english") for fact in FACTS}) == len(FACTS)


def test_sums_are_right_in_every_language() -> None:
    for fact in FACTS:
        if fact.kind == "sum":
            for answer in fact.accepted():
                x, y, z = map(int, re.findall(r"\d+", answer))
                assert x + y == z


def test_a_given_has_one_answer() -> None:
    for table in (CAPITALS, COLOURS):
        assert len({given for given, _ in table}) == len(table)
        assert all(len(given) == len(answer) == len(LANGUAGES) for given, answer in table)


def test_accepted_answers_state_the_fact_in_each_language() -> None:
    rome = next(fact for fact in FACTS if fact.answer == ("Rome", "Rome", "Rom"))
    assert rome.accepted() == (
        "The capital of Italy is Rome.",
        "La capitale pour l'Italie est Rome.",
        "Die Hauptstadt von Italien ist Rom.",
    )


def test_no_answer_is_accepted_for_two_facts() -> None:
    accepted = [answer for fact in FACTS for answer in fact.accepted()]
    assert len(set(accepted)) == len(FACTS) * len(LANGUAGES)


def test_a_question_names_what_is_asked_and_not_the_answer() -> None:
    for fact in FACTS:
        for column, language in enumerate(LANGUAGES):
            for number in range(wordings(fact, language)):
                question = fact.question(language, number)
                assert all(given[column] in question for given in fact.given)
                assert "{" not in question
                if fact.kind != "sum":
                    assert fact.answer[column] not in re.findall(r"\w+", question)


def test_wordings_count_round() -> None:
    fact = FACTS[0]
    assert fact.question("german", 0) == fact.question("german", wordings(fact, "german"))


@pytest.mark.parametrize("kind", sorted(QUESTIONS))
def test_every_language_has_wordings_of_its_own(kind: str) -> None:
    for split in ("train", "held_out"):
        for templates in QUESTIONS[kind][split]:
            assert len(set(templates)) == len(templates) >= 2


def test_held_out_questions_are_never_trained_on() -> None:
    held_out = list(held_out_questions())
    assert len(held_out) == len(FACTS) * len(LANGUAGES) * 2
    assert {question for _, _, question in held_out} & TRAINED == set()
    assert len(TRAINED) > 900
    for fact, language, question in held_out:
        assert all(given[LANGUAGES.index(language)] in question for given in fact.given)


def test_the_same_question_is_never_about_two_facts() -> None:
    meant: dict[str, Fact] = {}
    for fact in FACTS:
        for language in LANGUAGES:
            for number in range(wordings(fact, language)):
                assert meant.setdefault(fact.question(language, number), fact) == fact
    for fact, _, question in held_out_questions():
        assert meant.setdefault(question, fact) == fact
