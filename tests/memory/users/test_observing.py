"""What is observed comes back as it was, once, in order."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from selfsteer.errors import UserError
from selfsteer.memory import Memory
from selfsteer.memory.users import Acceptance, Edit, Message, Observation, Preference, Rating
from selfsteer.memory.users.observations import MOST_TEXT, observation_id
from tests.memory.users.cast import rates, says

PROMPT: Any = [{"role": "user", "content": "Hello?"}]
PLACE: Any = {"session": "s", "source": "api", "scope": "shared"}
ALL: list[Observation] = [
    Message(**PLACE, order=0, role="user", content="Grüß Gott. \x00 \u2028"),
    Preference(**PLACE, order=1, prompt=PROMPT, chosen="yes", rejected="no"),
    Rating(**PLACE, order=2, prompt=PROMPT, reply="Hi.", rating=-2.5),
    Edit(**PLACE, order=3, prompt=PROMPT, before="Hi.", after="Hello."),
    Acceptance(**PLACE, order=4, prompt=PROMPT, reply="Hi.", accepted=False),
]


def test_every_kind_comes_back(memory: Memory) -> None:
    memory.users.add("anna")
    names = memory.users.observe("anna", ALL)
    kept = memory.users.observations("anna")
    assert [one.observation for one in kept] == ALL
    assert [one.id for one in kept] == names == [observation_id("anna", one) for one in ALL]
    found = memory.users.observations("anna", ["rating", "edit"])
    assert [one.observation for one in found] == ALL[2:4]


def test_sessions_stand_as_they_came_and_each_in_order(memory: Memory) -> None:
    memory.users.add("anna")
    memory.users.observe("anna", [says("z1", 1, "z"), says("a0", 0, "a"), says("z0", 0, "z")])
    told = [one.observation for one in memory.users.observations("anna", ["message"])]
    assert [one.content for one in told if isinstance(one, Message)] == ["z0", "z1", "a0"]


def test_what_a_session_gains_later_is_later(memory: Memory) -> None:
    memory.users.add("anna")
    memory.users.observe("anna", [says("old", 0, "cli")])
    memory.users.observe("anna", [says("imported", 0, "file"), says("imported too", 1, "file")])
    memory.users.observe("anna", [says("new", 1, "cli"), rates(2.0, 1, "cli")])
    told = [one.observation for one in memory.users.observations("anna")]
    assert [one.kind for one in told] == ["message"] * 4 + ["rating"]
    contents = [one.content for one in told if isinstance(one, Message)]
    assert contents == ["old", "imported", "imported too", "new"]


def test_the_same_again_adds_nothing_whatever_its_source(memory: Memory) -> None:
    memory.users.add("anna")
    first = memory.users.observe("anna", [says("Hi.")])
    again = says("Hi.").model_copy(update={"source": "import"})
    assert memory.users.observe("anna", [again, says("Hi."), says("You.", 1)])[:2] == first * 2
    assert memory.users.get("anna").counts == {"message": 2}


def test_the_same_words_of_two_users_are_two_observations(memory: Memory) -> None:
    for name in ("anna", "bert"):
        memory.users.add(name)
    assert memory.users.observe("anna", [says("Hi.")]) != memory.users.observe(
        "bert", [says("Hi.")]
    )


@pytest.mark.parametrize(
    "other", [says("Ho."), says("Hi.", scope="shared")], ids=["content", "scope"]
)
def test_a_contradiction_is_refused_and_nothing_added(memory: Memory, other: Message) -> None:
    memory.users.add("anna")
    memory.users.observe("anna", [says("Hi.")])
    with pytest.raises(UserError, match=r"another message \(private\) at place 0; nothing was"):
        memory.users.observe("anna", [says("new", 1), other])
    assert memory.users.get("anna").counts == {"message": 1}
    memory.users.observe("anna", [rates(3.0)])  # another kind may stand at the same place


def test_a_megabyte_is_taken_and_too_much_is_refused_with_the_limit(memory: Memory) -> None:
    memory.users.add("anna")
    long = "ä" * 500_000
    memory.users.observe("anna", [says(long), says("", 1), says("x", 2)])
    assert memory.users.observations("anna")[0].observation == says(long)
    with pytest.raises(ValidationError, match=f"may have {MOST_TEXT} bytes"):
        says("x" * (MOST_TEXT + 1))


@pytest.mark.parametrize(
    "broken",
    [
        {"content": "\ud800"},
        {"order": -1},
        {"order": 2**63},
        {"order": True},
        {"session": ""},
        {"scope": "public"},
        {"role": "tool"},
        {"content": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_what_is_no_observation(broken: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Message.model_validate({**says("Hi.").model_dump(), **broken})


@pytest.mark.parametrize("rating", [float("nan"), float("inf")])
def test_a_rating_is_a_number(rating: float) -> None:
    with pytest.raises(ValidationError):
        rates(rating)


def test_observations_are_never_rewritten(memory: Memory) -> None:
    memory.users.add("anna")
    memory.users.observe("anna", [says("Hi.")])
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        memory.connection.db.execute("UPDATE observations SET content = '{}'")


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.text(max_size=3)), max_size=8)
)
def test_names_differ_exactly_where_observations_do(
    drawn: list[tuple[int, str, str]],
) -> None:
    observations = [says(text, order, session) for order, session, text in drawn]
    names = {observation_id("u", one) for one in observations}
    assert len(names) == len(set(drawn))
