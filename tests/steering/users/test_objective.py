"""The objective, against sums written out by hand and a library's rank correlation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from selfsteer.errors import DatasetError
from selfsteer.steering.encoding import encode_turn
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Message, Prompt
from selfsteer.steering.scoring import completion_logprobs
from selfsteer.steering.users.history import Choice, History, Rated
from selfsteer.steering.users.objective import (
    NOTHING,
    TURN,
    Condition,
    Fit,
    choice_scores,
    fit_turns,
    rank_correlation,
    rating_rewards,
)
from tests.steering.students import build_student, build_vector, reference_logits

STUDENT = build_student("llama")
ASKED = (Message(role="user", content="ab"),)


def history(*words: str) -> History:
    return History.of_sessions([[Message(role="user", content=one)] for one in words])


def test_fits_are_sums_over_the_messages_of_each_user() -> None:
    plan = Plan.single(build_vector(STUDENT), 1, 0.7, selector=TURN)
    users = [history("hello there", "no"), history("yes")]
    conditions = [[NOTHING, Condition(plan)], [Condition(plan), NOTHING]]
    found = fit_turns(STUDENT, users, conditions)
    for user, several, fits in zip(users, conditions, found, strict=True):
        for condition, fit in zip(several, fits, strict=True):
            nats = tokens = 0.0
            for turn in user.turns:
                row = encode_turn(STUDENT, [Message(role="user", content=turn.words)])
                logprobs = torch.log_softmax(reference_logits(STUDENT, row, condition.plan), -1)
                said = torch.tensor(row.ids[row.prompt_length :])
                nats += float(logprobs[row.prompt_length - 1 : -1].gather(1, said[:, None]).sum())
                tokens += len(said)
            assert fit.tokens == tokens
            assert fit.nats == pytest.approx(nats, abs=1e-3)


def test_the_oldest_of_what_stands_before_makes_room() -> None:
    """As much is read as the context holds, from a message of the user's on; half of it is kept."""
    student = build_student("llama", max_position_embeddings=60)
    system = Message(role="system", content="be")
    said = [
        Message(role=role, content=letter * 8) for letter in "abc" for role in ("user", "assistant")
    ]
    # A start token, 4 of the system, 10 a message, a turn mark and what is predicted.
    for length, left in {14: said[2:], 15: said[4:], 30: said[4:], 54: said[4:]}.items():
        whole, part = (Condition(before=(system, *those)) for those in (said, left))
        [[found, expected]] = fit_turns(student, [history("x" * length)], [[whole, part]])
        assert found == expected
    ratings = (Rated(ASKED, "x" * 10, 1.0), Rated(ASKED, "y" * 10, 2.0))
    whole, part = (Condition(before=(system, *those)) for those in (said, said[2:]))
    [[found, expected]] = rating_rewards(student, [History(ratings=ratings)], [[whole, part]])
    assert found == expected


def test_what_stands_before_changes_the_fit_and_not_the_tokens() -> None:
    user = history("hello")
    told = Condition(before=(Message(role="system", content="be brief"),))
    [[plain, with_profile]] = fit_turns(STUDENT, [user], [[NOTHING, told]])
    assert plain.tokens == with_profile.tokens
    assert plain.nats != with_profile.nats


def test_gain_is_in_bits_per_token() -> None:
    assert Fit(-math.log(2), 2).gain(Fit(-3 * math.log(2), 2)) == pytest.approx(1.0)


def test_a_condition_that_adds_nothing_prefers_nothing() -> None:
    user = History(choices=(Choice(ASKED, "yes", "no"), Choice(ASKED, "a", "b")))
    assert choice_scores(STUDENT, [user], [[NOTHING]]) == [[[0.5, 0.5]]]


def test_turning_a_vector_round_turns_its_preferences_round() -> None:
    choices = tuple(Choice(ASKED, a, b) for a, b in (("yes", "no"), ("abc", "xyz"), ("on", "it")))
    user = History(choices=choices)
    vector = build_vector(STUDENT)
    plans = [Plan.single(vector, 1, dose, selector=TURN) for dose in (1e-3, -1e-3)]
    [[nothing, one, other]] = choice_scores(
        STUDENT, [user], [[NOTHING, *(Condition(plan) for plan in plans)]]
    )
    assert nothing == [0.5] * 3
    assert [a + b for a, b in zip(one, other, strict=True)] == [1.0] * 3


def test_ratings_are_correlated_with_what_the_condition_adds() -> None:
    ratings = tuple(Rated(ASKED, reply, number) for number, reply in enumerate(("a", "bb", "cd")))
    plan = Plan.single(build_vector(STUDENT), 1, 0.7, selector=TURN)
    [[told, nothing]] = rating_rewards(
        STUDENT, [History(ratings=ratings)], [[Condition(plan), NOTHING]]
    )
    assert nothing == [0.0] * 3
    for rated, added in zip(ratings, told, strict=True):
        example = Example(prompt=Prompt(messages=ASKED), completion=rated.reply)
        steered, plain = (
            float(completion_logprobs(STUDENT, [example], [one])[0].double().sum())
            for one in (plan, Plan.none())
        )
        assert added == pytest.approx(steered - plain, abs=1e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fit_turns(STUDENT, [History()], [[NOTHING]]),
        lambda: choice_scores(STUDENT, [History()], [[NOTHING]]),
        lambda: rating_rewards(
            STUDENT,
            [History(ratings=(Rated(ASKED, "a", 1.0), Rated(ASKED, "b", 1.0)))],
            [[NOTHING]],
        ),
    ],
)
def test_nothing_to_judge_by_is_said(call: object) -> None:
    with pytest.raises(DatasetError, match="judged by"):
        call()  # type: ignore[operator]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_rank_correlation_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    left, right = (list(map(float, column)) for column in zip(*pairs, strict=True))
    found = rank_correlation(left, right)
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert found == 0.0
    else:
        assert found == pytest.approx(float(spearmanr(left, right).statistic), abs=1e-9)


def test_ratings_have_to_be_finite() -> None:
    with pytest.raises(DatasetError, match="finite"):
        History(ratings=(Rated(ASKED, "a", float("nan")),))
