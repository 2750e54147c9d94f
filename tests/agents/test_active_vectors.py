"""What is active: for the next reply, or until it is taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.active_vectors import ActiveVectors
from selfsteer.agents.steer_tool import (
    Call,
    Keep,
    Revert,
    Scope,
    Steer,
    Swap,
    allow,
    possible_calls,
)
from selfsteer.errors import ControllerError
from selfsteer.steering.model import Student
from tests.agents.steerables import NAMES, steerables

ONCE: Scope = "next"
ON: Scope = "until_reverted"


@pytest.fixture
def vectors(talker: Student) -> ActiveVectors:
    return ActiveVectors(allow(steerables(talker)))


def told(vectors: ActiveVectors) -> dict[str, tuple[float, str]]:
    return {one.vector: (one.strength, one.scope) for one in vectors.now}


def test_what_holds_for_a_reply_and_what_holds_on(vectors: ActiveVectors) -> None:
    vectors.carry_out(Steer(vector="dry", strength=0.3, scope=ON))
    vectors.carry_out(Steer(vector="glad", strength=0.5, scope=ONCE))
    vectors.carry_out(Steer(vector="dry", strength=0.7, scope=ONCE))
    vectors.carry_out(Keep())
    assert told(vectors) == {"glad": (0.5, ONCE), "dry": (0.7, ONCE)}
    edits = vectors.plan.edits
    assert [(edit.vector.concept, edit.strength) for edit in edits] == [
        ("random 0", 0.5),
        ("random 2", 0.7),
    ]
    vectors.replied()
    assert told(vectors) == {"dry": (0.3, ON)}
    vectors.replied()
    assert told(vectors) == {"dry": (0.3, ON)}


def test_a_standing_strength_goes_before_an_earlier_one_for_a_reply(vectors: ActiveVectors) -> None:
    vectors.carry_out(Steer(vector="dry", strength=0.3, scope=ONCE))
    vectors.carry_out(Steer(vector="dry", strength=0.6, scope=ON))
    assert told(vectors) == {"dry": (0.6, ON)}


def test_a_swap_for_a_reply_lets_the_other_rest(vectors: ActiveVectors) -> None:
    vectors.carry_out(Steer(vector="dry", strength=0.3, scope=ON))
    vectors.carry_out(Swap(active="dry", vector="glad", strength=0.5, scope=ONCE))
    assert told(vectors) == {"glad": (0.5, ONCE)}
    vectors.replied()
    assert told(vectors) == {"dry": (0.3, ON)}
    vectors.carry_out(Swap(active="dry", vector="glad", strength=0.5, scope=ON))
    vectors.replied()
    assert told(vectors) == {"glad": (0.5, ON)}


def test_taking_back(vectors: ActiveVectors) -> None:
    for name in NAMES:
        vectors.carry_out(Steer(vector=name, strength=0.3, scope=ON))
    vectors.carry_out(Revert(vector="dry"))
    assert set(told(vectors)) == {"glad", "fröhlich"}
    vectors.carry_out(Steer(vector="glad", strength=0.4, scope=ONCE))
    vectors.carry_out(Revert())
    assert told(vectors) == {}
    vectors.replied()
    assert told(vectors) == {}
    vectors.carry_out(Revert())  # nothing is left to take back


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Steer(vector="sad", strength=0.5, scope=ON), "'sad' is not one of the vectors allowed"),
        (Steer(vector="dry", strength=0.9, scope=ON), r"Strength 0\.9 is out of bounds"),
        (Swap(active="glad", vector="dry", strength=0.5, scope=ON), "'glad' is not active"),
        (Swap(active="fröhlich", vector="dry", strength=9, scope=ON), "out of bounds"),
        (Swap(active="fröhlich", vector="sad", strength=0.5, scope=ON), "not one of the vectors"),
        (Revert(vector="dry"), "'dry' is not active; what steers now: fröhlich"),
    ],
)
def test_what_is_refused_changes_nothing(vectors: ActiveVectors, call: Call, reason: str) -> None:
    vectors.carry_out(Steer(vector="fröhlich", strength=0.3, scope=ON))
    before = vectors.now
    with pytest.raises(ControllerError, match=reason):
        vectors.carry_out(call)
    assert vectors.now == before


@given(st.lists(st.integers(0, 10**6), max_size=12))
def test_every_call_that_is_offered_is_granted(talker: Student, picks: list[int]) -> None:
    allowed = allow(steerables(talker))
    vectors = ActiveVectors(allowed)
    for pick in picks:
        calls = possible_calls(allowed, [one.vector for one in vectors.now], 3)
        call = calls[pick % len(calls)]
        vectors.carry_out(call)
        if isinstance(call, Steer | Swap):
            assert told(vectors)[call.vector] == (call.strength, call.scope)
        if isinstance(call, Swap):
            assert call.active not in told(vectors)
        vectors.plan.check(talker)
        if pick % 3 == 0:
            vectors.replied()
            assert ONCE not in {scope for _, scope in told(vectors).values()}
