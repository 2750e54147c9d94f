"""Which goals are the same, and which words of a goal count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.memory.goals import PHRASING, content_terms, goal_key


@pytest.mark.parametrize(
    ("goal", "terms"),
    [
        ("I want it to sound miserable", ["miserable"]),
        ("Please make the model's replies more like a pirate's!", ["pirate"]),
        ("never be rude", ["never", "rude"]),
        ("don't talk about cats, don\u2019t", ["not", "cats"]),
        ("less formal, and LESS wordy", ["less", "formal", "wordy"]),
        ("Parle français", ["parle", "français"]),
        ("make it so", []),
        ("", []),
    ],
)
def test_content_terms(goal: str, terms: list[str]) -> None:
    assert content_terms(goal) == terms


def test_case_spacing_and_punctuation_do_not_make_another_goal() -> None:
    assert goal_key("Sound  grumpy!") == goal_key("sound\ngrumpy") != goal_key("sound grumpier")


def test_negation_makes_another_goal() -> None:
    assert goal_key("sound grumpy") != goal_key("don't sound grumpy")


def test_no_phrasing_word_turns_a_goal_round() -> None:
    assert not PHRASING & {"not", "no", "never", "without", "less", "stop", "avoid", "opposite"}


@given(st.text())
def test_keys_and_terms_are_stable(goal: str) -> None:
    assert goal_key(goal_key(goal)) == goal_key(goal)
    assert content_terms(" ".join(content_terms(goal))) == content_terms(goal)
