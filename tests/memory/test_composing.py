"""Plans that have the words of a goal between them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.memory import Memory, Remembered, Run
from selfsteer.memory.composing import compositions, covers
from selfsteer.steering.vectors import SteeringVector

FINGERPRINT = "f" * 64


@pytest.fixture
def remember(
    memory: Memory, vector: SteeringVector, start_run: Callable[..., Run]
) -> Callable[..., Remembered]:
    memory.put_vector(vector)

    def put(goal: str, fingerprint: str = FINGERPRINT) -> Remembered:
        return memory.remember(
            start_run(memory, goal).id,
            vector.id,
            goal=goal,
            plan={"edits": []},
            scores={},
            fingerprint=fingerprint,
        )

    return put


def composed(memory: Memory, goal: str) -> list[tuple[str, ...]]:
    return [tuple(part.goal for part in parts) for parts in compositions(memory, goal, FINGERPRINT)]


def test_two_plans_share_the_words_of_a_goal(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    """In any of their forms, in the order of the words, the goal that is nothing else first."""
    for goal in ("talk formally", "talk about football", "be formal with strangers"):
        remember(goal)
    assert composed(memory, "I want it to be formal and talk about football") == [
        ("talk formally", "talk about football"),
        ("be formal with strangers", "talk about football"),
    ]
    assert composed(memory, "talk about football, formally")[0][0] == "talk about football"


@pytest.mark.parametrize(
    "goal",
    [
        "sound grumpy",  # one plan does
        "sound grumpy and talk about gardens",  # nobody knows a word of it
        "sound grumpy, do not talk about football",  # nobody knows how not to
        "I want it to sound",
    ],
)
def test_nothing_is_composed_for_less_or_more(
    memory: Memory, remember: Callable[..., Remembered], goal: str
) -> None:
    remember("sound grumpy")
    remember("talk about football")
    assert composed(memory, goal) == []


def test_plans_of_another_student_are_no_parts(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("sound grumpy")
    remember("talk about football", "0" * 64)
    assert composed(memory, "sound grumpy and talk about football") == []


def test_three_come_after_two(memory: Memory, remember: Callable[..., Remembered]) -> None:
    for goal in ("sound grumpy", "talk about football", "be brief", "brief football"):
        remember(goal)
    assert composed(memory, "grumpy, brief, football") == [
        ("sound grumpy", "brief football"),
        ("sound grumpy", "be brief", "talk about football"),
    ]


def test_a_plan_for_a_user_is_a_part_for_that_user_only(
    memory: Memory, remember: Callable[..., Remembered], vector: SteeringVector
) -> None:
    remember("sound grumpy")
    memory.users.add("anna")
    own = [
        memory.runs.start(
            "talk about football",
            student="tiny",
            fingerprint=FINGERPRINT,
            controller="self",
            seed=3,
            settings={},
            user_id="anna",
        )
        for _ in range(2)
    ]
    memory.remember(
        own[0].id,
        vector.id,
        goal="talk about football",
        plan={"edits": []},
        scores={},
        fingerprint=FINGERPRINT,
    )
    goal = "grumpy football"
    assert composed(memory, goal) == []
    assert len(list(compositions(memory, goal, FINGERPRINT, run_id=own[1].id))) == 1


@given(
    rows=st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True), min_size=1),
    count=st.integers(1, 4),
)
def test_covers_are_all_sets_that_serve_every_row_and_spare_nobody(
    rows: list[list[int]], count: int
) -> None:
    found = [frozenset(chosen) for chosen in covers(rows, count)]
    serving = [
        set(chosen)
        for size in range(1, count + 1)
        for chosen in combinations(range(8), size)
        if all(set(chosen).intersection(row) for row in rows)
    ]
    expected = {
        frozenset(one)
        for one in serving
        if len(one) == count and not any(other < one for other in serving)
    }
    assert len(found) == len(set(found))
    assert set(found) == expected
