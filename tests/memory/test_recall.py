"""Finding accepted plans again."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.memory import Memory, Remembered, Run
from selfsteer.steering.vectors import SteeringVector

FINGERPRINT = "f" * 64
OTHER = "0" * 64
GOALS = [
    "I want it to sound miserable",
    "I want it to sound joyful and warm",
    "talk formally",
    "I want it to talk about football",
    "reply as a warm-hearted nurse would",
]


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
            plan={"edits": [{"layers": [2], "strength": 0.5, "operator": "add"}]},
            scores={"steerability": 0.9},
            fingerprint=fingerprint,
            supersedes=supersedes,
        )

    return put


def recalled(memory: Memory, goal: str, fingerprint: str = FINGERPRINT) -> list[str]:
    return [hit.remembered.goal for hit in memory.recall(goal, fingerprint)]


def test_a_plan_comes_back_with_what_it_was_worth(
    memory: Memory, remember: Callable[..., Remembered], vector: SteeringVector
) -> None:
    put = remember("sound grumpy")
    (hit,) = memory.recall("Sound grumpy.", FINGERPRINT)
    assert (hit.remembered, hit.exact, hit.coverage) == (put, True, 1.0)
    assert hit.remembered.vector_id == vector.id
    assert hit.remembered.plan["edits"][0]["strength"] == 0.5  # type: ignore[index,call-overload]
    assert hit.remembered.scores == {"steerability": 0.9}


def test_nothing_is_recalled_from_nothing(memory: Memory) -> None:
    assert memory.recall("sound grumpy", FINGERPRINT) == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("make its answers miserable, please", [GOALS[0]]),
        ("I want it to sound formal", [GOALS[2]]),
        ("joyful", [GOALS[1]]),
        ("I want it to sound like a pirate", []),
        ("I want it to sound", []),
        ("warm and joyful", [GOALS[1], GOALS[4]]),
    ],
)
def test_content_words_find_goals_and_phrasing_does_not(
    memory: Memory, remember: Callable[..., Remembered], asked: str, found: list[str]
) -> None:
    for goal in GOALS:
        remember(goal)
    assert recalled(memory, asked) == found


def test_the_same_goal_comes_before_a_better_text_match(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("miserable miserable")
    remember("sound miserable, in verse, about the rain")
    assert recalled(memory, "Sound miserable in verse about the rain")[0].startswith("sound")


def test_a_goal_of_phrasing_only_is_found_when_it_is_the_same(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("make it so")
    assert recalled(memory, "Make it so!") == ["make it so"]


def test_coverage_tells_how_much_of_the_goal_is_had(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("sound miserable")
    remember("write about football")
    (hit,) = memory.recall("miserably but never about cricket", FINGERPRINT)
    assert not hit.exact
    assert hit.coverage == pytest.approx(1 / 3)
    assert hit.score > 0


def test_the_newest_of_the_same_goal_comes_first_and_the_limit_holds(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    put = [remember("sound grumpy") for _ in range(4)]
    hits = memory.recall("sound grumpy", FINGERPRINT, limit=3)
    assert [hit.remembered.id for hit in hits] == [record.id for record in put[:0:-1]]


def test_superseded_plans_are_recalled_no_more(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    first = remember("sound grumpy")
    second = remember("sound very grumpy", supersedes=first.id)
    assert recalled(memory, "sound grumpy") == ["sound very grumpy"]
    assert memory.remembered() == [second]


def test_plans_of_another_student_are_named_but_not_recalled(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("sound grumpy", fingerprint=OTHER)
    remember("grumpy pirate", fingerprint=OTHER)
    assert memory.recall("sound grumpy", FINGERPRINT) == []
    stale = memory.stale("sound grumpy", FINGERPRINT)
    assert [hit.remembered.goal for hit in stale] == ["sound grumpy", "grumpy pirate"]
    assert memory.stale("sound grumpy", OTHER) == []


def test_a_run_remembers_once(memory: Memory, run: Run, vector: SteeringVector) -> None:
    memory.put_vector(vector)
    records = [
        memory.remember(run.id, vector.id, goal=goal, plan={}, scores={}, fingerprint=FINGERPRINT)
        for goal in ("first", "second")
    ]
    assert records[0] == records[1]
    assert [record.goal for record in memory.remembered()] == ["first"]


def test_what_is_remembered_cannot_be_rewritten(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("sound grumpy")
    with (
        pytest.raises(sqlite3.IntegrityError, match="only ever added"),
        memory._connection.write() as db,
    ):
        db.execute("UPDATE remembered SET fingerprint = ''")


def test_what_is_deleted_leaves_the_index(
    memory: Memory, remember: Callable[..., Remembered]
) -> None:
    remember("sound grumpy")
    with memory._connection.write() as db:
        db.execute("DELETE FROM remembered")
    assert memory.recall("grumpy", FINGERPRINT) == []
    rows = memory._connection.query(
        "SELECT rowid FROM remembered_fts WHERE remembered_fts MATCH 'grumpi'"
    )
    assert rows == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "memory.db"
    Memory.open(path).close()
    return path


@given(goal=st.text())
def test_any_text_can_be_remembered_and_recalled(shared: Path, goal: str) -> None:
    with Memory.open(shared) as memory:
        fingerprint = uuid.uuid4().hex
        run = memory.runs.start(
            goal, student="", fingerprint=fingerprint, controller="", seed=0, settings={}
        )
        blob = memory.put_blob("vector", b"")
        put = memory.remember(run.id, blob, goal=goal, plan={}, scores={}, fingerprint=fingerprint)
        assert [hit.remembered for hit in memory.recall(goal, fingerprint)] == [put]


@given(goal=st.text(alphabet="\"*()^:-+{}ANDORNEAR ~'", max_size=20))
def test_the_query_language_of_the_index_stays_out_of_reach(shared: Path, goal: str) -> None:
    with Memory.open(shared) as memory:
        assert memory.recall(goal, "nobody") == []
