"""Recall by meaning, with an encoder that says what the test wants it to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from selfsteer.memory import Memory, Remembered, Run
from selfsteer.memory.check import check, quarantine
from selfsteer.memory.goals import turns
from selfsteer.memory.meaning import LEAST, Meaning
from selfsteer.steering.vectors import SteeringVector
from tests.memory.damage import alter_blob
from tests.memory.encoders import ScriptedEncoder

FINGERPRINT = "f" * 64
OTHER = "0" * 64

# Degrees: the cosine of two texts is that of the angle between them.
ANGLES = {"cheerless": 0.0, "sad": 20.0, "grumpy": 50.0, "cross": -50.0, "formal": 80.0}
Remember = Callable[..., Remembered]


@pytest.fixture
def remember(
    memory: Memory, vector: SteeringVector, start_run: Callable[..., Run]
) -> Callable[..., Remembered]:
    memory.put_vector(vector)

    def put(goal: str, fingerprint: str = FINGERPRINT, supersedes: int | None = None) -> Remembered:
        return memory.remember(
            start_run(memory, goal).id,
            vector.id,
            goal=goal,
            plan={},
            scores={},
            fingerprint=fingerprint,
            supersedes=supersedes,
        )

    return put


@pytest.fixture
def encoder() -> ScriptedEncoder:
    return ScriptedEncoder(**ANGLES)


@pytest.fixture
def meaning(encoder: ScriptedEncoder) -> Meaning:
    return Meaning(encoder)


def test_the_likest_comes_first_with_its_cosine(
    memory: Memory, remember: Remember, meaning: Meaning
) -> None:
    for goal in ("sound formal", "sound grumpy", "sound sad"):
        remember(goal)
    found = meaning.recall(memory, "I want it to sound cheerless", FINGERPRINT)
    assert [hit.remembered.goal for hit in found] == ["sound sad", "sound grumpy"]
    assert [hit.cosine for hit in found] == pytest.approx(np.cos(np.radians([20, 50])))


def test_words_find_what_they_found_before(
    memory: Memory, remember: Remember, meaning: Meaning
) -> None:
    put = remember("sound sad")
    assert memory.recall("sound cheerless", FINGERPRINT) == []
    [hit] = meaning.recall(memory, "sound cheerless", FINGERPRINT)
    assert hit.remembered == put


def test_what_lies_too_far_off_is_not_offered(memory: Memory, remember: Remember) -> None:
    remember("be formal")
    encoder = ScriptedEncoder(**ANGLES)
    assert Meaning(encoder).recall(memory, "be cheerless", FINGERPRINT) == []
    below, above = np.cos(np.radians(80)) + np.array([-0.01, 0.01])
    assert Meaning(encoder, below).recall(memory, "be cheerless", FINGERPRINT) != []
    assert Meaning(encoder, above).recall(memory, "be cheerless", FINGERPRINT) == []
    assert below < LEAST


def test_the_newest_of_those_as_like_comes_first_and_the_limit_holds(
    memory: Memory, remember: Remember, meaning: Meaning
) -> None:
    put = [remember(goal) for goal in ("be cross", "be grumpy", "be sad", "be sad")]
    found = meaning.recall(memory, "be cheerless", FINGERPRINT, limit=3)
    assert [hit.remembered.id for hit in found] == [put[3].id, put[2].id, put[1].id]


def test_goals_are_compared_without_their_phrasing(
    memory: Memory, remember: Remember, meaning: Meaning, encoder: ScriptedEncoder
) -> None:
    remember("I want it to sound sad.")
    remember("Sad answers only, please!")
    remember("make it so")
    meaning.recall(memory, "You should be cheerless", FINGERPRINT)
    # Each once; a goal of nothing but phrasing as it is.
    assert encoder.asked == [["cheerless", "sad", "sad only", "make it so"]]


@pytest.mark.parametrize(
    "goal", ["never be cheerless", "don't be cheerless", "without being cheerless", "be less sad"]
)
def test_a_goal_that_is_turned_round_is_like_none_that_is_not(
    memory: Memory, remember: Remember, goal: str
) -> None:
    """An encoder hardly hears the difference: this one hears none."""

    def deaf(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 2), dtype=np.float32)

    assert turns(goal)
    remember("be sad")
    away = remember("no sad answers")
    assert [hit.remembered for hit in Meaning(deaf).recall(memory, goal, FINGERPRINT)] == [away]


def test_nothing_is_encoded_where_nothing_is_remembered(
    memory: Memory, meaning: Meaning, encoder: ScriptedEncoder
) -> None:
    assert meaning.recall(memory, "be cheerless", FINGERPRINT) == []
    assert encoder.asked == []


@pytest.mark.parametrize("point", [0.0, float("nan")])
def test_a_point_that_is_none_is_like_nothing(
    memory: Memory, remember: Remember, point: float
) -> None:
    def odd(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.full((len(texts), 2), point, dtype=np.float32)

    remember("be sad")
    assert Meaning(odd).recall(memory, "be cheerless", FINGERPRINT) == []


def test_plans_of_another_student_are_named_but_not_recalled(
    memory: Memory, remember: Remember, meaning: Meaning
) -> None:
    put = remember("be sad", fingerprint=OTHER)
    assert meaning.recall(memory, "be cheerless", FINGERPRINT) == []
    assert [hit.remembered for hit in meaning.stale(memory, "be cheerless", FINGERPRINT)] == [put]
    assert meaning.stale(memory, "be cheerless", OTHER) == []


def test_what_is_superseded_or_in_quarantine_is_not_offered(
    memory: Memory, remember: Remember, meaning: Meaning, vector: SteeringVector
) -> None:
    first = remember("be sad")
    second = remember("be grumpy", supersedes=first.id)
    found = meaning.recall(memory, "be cheerless", FINGERPRINT)
    assert [hit.remembered for hit in found] == [second]
    alter_blob(memory.path, vector.id)
    quarantine(memory, check(memory).faults)
    assert meaning.recall(memory, "be cheerless", FINGERPRINT) == []


def test_a_plan_of_a_user_is_for_that_user_and_forgotten_with_them(
    memory: Memory, meaning: Meaning, vector: SteeringVector, encoder: ScriptedEncoder
) -> None:
    memory.put_vector(vector)
    for user in ("anna", "bert"):
        memory.users.add(user)
    theirs, asking, other = (_run_for(memory, user) for user in ("anna", "anna", "bert"))
    put = memory.remember(
        theirs.id, vector.id, goal="be sad", plan={}, scores={}, fingerprint=FINGERPRINT
    )

    def found(run_id: str | None) -> list[Remembered]:
        hits = meaning.recall(memory, "be cheerless", FINGERPRINT, run_id=run_id)
        return [hit.remembered for hit in hits]

    assert found(asking.id) == [put]
    assert found(other.id) == found(None) == []
    encoder.asked.clear()
    memory.users.forget("anna")
    assert found(None) == found(other.id) == []
    assert encoder.asked == []  # nobody keeps the goal, not even for comparing


def _run_for(memory: Memory, user_id: str) -> Run:
    return memory.runs.start(
        "be sad",
        **{"student": "tiny", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
        settings={},
        user_id=user_id,
    )
