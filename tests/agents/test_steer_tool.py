"""The steer tool: what may be named, what is refused, and that all ways to write a call agree."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.steer_tool import (
    Call,
    Keep,
    Revert,
    Steer,
    Steerable,
    Swap,
    allow,
    call_schema,
    call_text,
    granted,
    possible_calls,
    read_call,
)
from selfsteer.errors import ControllerError, PlanError
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit
from tests.agents.steerables import NAMES, steerables
from tests.steering.students import build_vector

CALLS: list[Call] = [
    Keep(),
    Steer(vector="glad", strength=0.5, scope="next"),
    Swap(active="glad", vector="dry", strength=1, scope="until_reverted"),
    Revert(vector="fröhlich"),
    Revert(),
]


@pytest.mark.parametrize("call", CALLS, ids=call_text)
def test_a_call_is_read_as_it_was_written(call: Call) -> None:
    assert read_call(call_text(call)) == call


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "Invalid JSON"),
        ("steer glad", "Invalid JSON"),
        ('{"tool": "none"} {"tool": "none"}', "Invalid JSON"),
        ("{}", "Unable to extract tag"),
        ('{"tool": "delete"}', "'delete' found"),
        ('{"tool": "none", "also": 1}', "at 'none.also'"),
        ('{"tool": "steer", "vector": "glad", "scope": "next"}', "at 'steer.strength'"),
        ('{"tool": "steer", "vector": "glad", "strength": "0.5", "scope": "next"}', "valid number"),
        ('{"tool": "steer", "vector": "glad", "strength": NaN, "scope": "next"}', "finite number"),
        ('{"tool": "steer", "vector": "glad", "strength": true, "scope": "next"}', "valid number"),
        ('{"tool": "steer", "vector": "glad", "strength": 1, "scope": "forever"}', "'next' or"),
        ('{"tool": "steer", "vector": ["glad"], "strength": 1, "scope": "next"}', "valid string"),
    ],
)
def test_what_is_no_call(text: str, part: str) -> None:
    with pytest.raises(ControllerError, match="This is no call of the tool") as caught:
        read_call(text)
    assert part in str(caught.value)


@given(st.text())
def test_any_text_is_a_call_or_refused(text: str) -> None:
    with pytest.raises(ControllerError) as caught:
        read_call(text)
    assert len(str(caught.value)) < 400


@given(
    name=st.text(),
    strength=st.floats(),
)
def test_only_listed_names_and_strengths_in_bounds_are_granted(
    talker: Student, name: str, strength: float
) -> None:
    allowed = allow(steerables(talker))
    with pytest.raises(ControllerError, match="is not one of the vectors allowed here: glad, frö"):
        granted(allowed, f"{name}?", 0.5)
    if 0.2 <= strength <= 0.8:
        assert granted(allowed, "dry", strength) == allowed["dry"].at(strength)
    else:
        with pytest.raises(ControllerError, match=r"out of bounds: dry may have 0\.2 to 0\.8"):
            granted(allowed, "dry", strength)


def test_a_bound_says_no_to_what_lies_just_behind_it(talker: Student) -> None:
    allowed = allow(steerables(talker))
    assert granted(allowed, "glad", 0.8).strength == 0.8
    with pytest.raises(ControllerError):
        granted(allowed, "glad", 0.8 + 1e-12)


@pytest.mark.parametrize("name", ["", "none", "two words", "a/b", "../x", '"', "x" * 41, "-x"])
def test_names_are_single_words(talker: Student, name: str) -> None:
    with pytest.raises(ControllerError, match="cannot name a vector in a conversation"):
        steerables(talker, [name])


def test_what_cannot_be_allowed(talker: Student) -> None:
    edit = Edit(build_vector(talker), (1,), 0.5, "ablate")
    for low, high in ((0.8, 0.2), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(ControllerError, match="The strengths of glad run from"):
            Steerable("glad", edit, low, high)
    rotation = Edit(build_vector(talker), (1,), 0.5, "rotate_to")
    with pytest.raises(PlanError, match="is not within 0 to"):
        Steerable("glad", rotation, -1.0, 1.0)
    with pytest.raises(ControllerError, match="allow at least one"):
        allow([])
    with pytest.raises(ControllerError, match="Two vectors are named dry"):
        allow(steerables(talker, ["dry", "glad", "dry"]))


@given(
    low=st.floats(-50, 50),
    width=st.floats(0, 50),
    count=st.integers(2, 30),
)
def test_strengths_keep_within_their_bounds(
    talker: Student, low: float, width: float, count: int
) -> None:
    found = Steerable("x", Edit(build_vector(talker), (1,), 0.5), low, low + width).strengths(count)
    assert all(low <= strength <= low + width for strength in found)
    assert 1 <= len(found) <= count
    assert list(found) == sorted(set(found))


@pytest.mark.parametrize("active", [[], ["dry"], ["glad", "dry"]])
def test_every_possible_call_is_one_of_the_schema_and_none_is_there_twice(
    talker: Student, active: list[str]
) -> None:
    allowed = allow(steerables(talker))
    texts = [call_text(call) for call in possible_calls(allowed, active, 3)]
    assert texts[0] == '{"tool": "none"}'
    assert len(set(texts)) == len(texts)
    forms = call_schema(allowed, active)["anyOf"]
    for text in texts:
        call = json.loads(text)
        assert sum(_fits(form["properties"], call) for form in forms) == 1
    swaps = [json.loads(text) for text in texts if '"swap"' in text]
    assert {call["active"] for call in swaps} == set(active)
    assert all(call["active"] != call["vector"] for call in swaps)
    assert len(texts) == 1 + 6 * len(NAMES) + len(swaps) + len(active) + bool(active)


def _fits(properties: dict[str, dict[str, object]], call: dict[str, object]) -> bool:
    """Whether a call has a form's properties and their values."""
    return list(properties) == list(call) and all(
        call[name] in (rule.get("enum") or [rule["const"]]) for name, rule in properties.items()
    )
