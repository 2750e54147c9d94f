"""Probes: disjoint splits, the same for a seed, and nothing that the student was trained on."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.probes import (
    LEAST,
    ProbeSplits,
    deal_probes,
    deal_questions,
    open_prompts,
)
from selfsteer.agents.types import Question
from selfsteer.pocket.prompts import HELD_OUT, OPEN
from tests.agents.doubles import texts

NAMES = tuple(ProbeSplits.model_fields)


def test_probes_are_open_prompts_each_of_them_once() -> None:
    prompts = open_prompts()
    assert len(prompts) >= 150
    assert len({prompt.casefold() for prompt in prompts}) == len(prompts)
    assert all(prompt == prompt.strip() and prompt for prompt in prompts)


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_splits_have_nothing_in_common_and_leave_nothing_out(seed: int) -> None:
    dealt = deal_probes(seed)
    splits = {name: texts(getattr(dealt, name)) for name in NAMES}
    for one, other in combinations(NAMES, 2):
        assert not splits[one] & splits[other]
    assert set.union(*splits.values()) == set(open_prompts())
    sizes = [len(split) for split in splits.values()]
    assert max(sizes) - min(sizes) <= 1


def test_splits_are_a_function_of_the_seed() -> None:
    assert deal_probes(3) == deal_probes(3)
    assert deal_probes(3).confirmation != deal_probes(4).confirmation


def test_probes_of_recall_were_seen_by_no_run_of_any_seed() -> None:
    """A vector is recalled by runs of other seeds than the one that chose it."""
    recall = texts(deal_probes(0).recall)
    for seed in range(20):
        dealt = deal_probes(seed)
        assert texts(dealt.recall) == recall
        for name in set(NAMES) - {"recall"}:
            assert not recall & texts(getattr(dealt, name))


def test_the_bundled_student_was_not_trained_on_probes() -> None:
    trained = {text for table in (OPEN, HELD_OUT) for prompts in table.values() for text in prompts}
    assert not trained & set(open_prompts())


QUESTIONS = st.lists(
    st.builds(
        Question,
        topic=st.sampled_from(["food", "Food", "weather", "work"]),
        text=st.one_of(
            st.sampled_from([*open_prompts()[:20], "Why?", "why", "WHY ?!", "..."]),
            st.text(min_size=1, max_size=30),
        ),
    ),
    max_size=80,
)


@given(QUESTIONS, st.integers(0, 3))
def test_questions_are_dealt_once_each(questions: list[Question], seed: int) -> None:
    dealt = deal_questions(questions, seed)
    assert dealt == deal_questions(questions, seed)
    assert dealt.recall == deal_probes(seed).recall
    plain = {
        name: [re.findall(r"\w+", text.casefold()) for text in texts(getattr(dealt, name))]
        for name in NAMES
    }
    for name, several in plain.items():
        assert len(several) >= LEAST
        assert all(several.count(words) == 1 for words in several)
        for other in set(NAMES) - {name}:
            assert not [words for words in several if words in plain[other]]


def test_topics_and_lengths_are_spread_over_the_splits() -> None:
    questions = [
        Question(topic=f"topic {t}", text=f"{t}{i:02d}" + "x" * (10 * i))
        for t in range(5)
        for i in range(16)
    ]
    dealt = deal_questions(questions, seed=1)
    splits = [texts(getattr(dealt, name)) for name in NAMES if name != "recall"]
    for split in splits:
        assert [sum(text.startswith(str(t)) for text in split) for t in range(5)] == [4] * 5
    lengths = [sum(map(len, split)) / len(split) for split in splits]
    # Neighbours differ by ten characters, the longest from the shortest by 150.
    assert max(lengths) - min(lengths) <= 30


def test_the_first_probes_of_a_split_are_no_first_topics() -> None:
    """A search asks the first few of a split; topics and lengths of all of it come up there."""
    questions = [
        Question(topic=f"topic {t}", text=f"{t}{i}" + "x" * (10 * i))
        for t in range(8)
        for i in range(10)
    ]
    for seed in range(5):
        dealt = deal_questions(questions, seed)
        for name in set(NAMES) - {"recall"}:
            first = [prompt.messages[-1].content[0] for prompt in getattr(dealt, name)[:8]]
            assert len(set(first)) >= 4
            assert first != sorted(first)


def test_few_questions_are_joined_by_bundled_ones() -> None:
    dealt = deal_questions([Question(topic="t", text=f"Question {i}?") for i in range(8)], seed=0)
    for name in set(NAMES) - {"recall"}:
        split = texts(getattr(dealt, name))
        assert len(split) == LEAST
        assert len(split - set(open_prompts())) == 2
