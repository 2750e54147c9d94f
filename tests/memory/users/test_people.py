"""Who the users are, and what they agreed to."""

from __future__ import annotations

import sqlite3

import pytest

from selfsteer.errors import UserError
from selfsteer.memory import Memory
from tests.memory.users.cast import rates, says


def test_a_user_is_added_once_and_stays_as_they_are(memory: Memory) -> None:
    first = memory.users.add("anna", consents=True)
    assert (first.id, first.consents, first.counts) == ("anna", True, {})
    assert memory.users.add("anna") == first
    memory.users.consent("anna", False)
    assert not memory.users.add("anna", consents=True).consents


def test_everyone_is_listed_with_counts(memory: Memory) -> None:
    for name in ("bert", "anna"):
        memory.users.add(name)
    memory.users.observe("anna", [says("Hi.", 0), says("You.", 1), rates(4.0, 2)])
    bert, anna = memory.users.all()
    assert (bert.id, bert.counts) == ("bert", {})
    assert anna == memory.users.get("anna")
    assert anna.counts == {"message": 2, "rating": 1}


def test_consent_is_what_was_said_last_and_history_is_kept(memory: Memory) -> None:
    for name in ("anna", "bert", "carl"):
        memory.users.add(name, consents=name != "bert")
    memory.users.consent("anna", False)
    memory.users.consent("bert", True)
    assert memory.users.consenting() == ["bert", "carl"]
    rows = memory.connection.query("SELECT granted FROM consents WHERE user_id = 'anna'")
    assert [row["granted"] for row in rows] == [1, 0]
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        memory.connection.db.execute("UPDATE consents SET granted = 1")


def test_an_unknown_user_is_one_sentence_everywhere(memory: Memory) -> None:
    users = memory.users
    for ask in (
        lambda: users.get("nemo"),
        lambda: users.consent("nemo", True),
        lambda: users.observe("nemo", [says("Hi.")]),
        lambda: users.observations("nemo"),
        lambda: users.versions("nemo"),
        lambda: users.forget("nemo"),
    ):
        with pytest.raises(UserError, match=r"knows no user 'nemo'\.$"):
            ask()
    assert users.current("nemo", "f") is None


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x00", "x" * 201])
def test_ids_that_are_none(memory: Memory, name: str) -> None:
    with pytest.raises(UserError, match="printable characters"):
        memory.users.add(name)
    assert memory.users.all() == []


def test_odd_ids_are_taken(memory: Memory) -> None:
    for name in ("O'Neill; DROP TABLE users", "%", "Zoë", "a b", "0"):
        assert memory.users.add(name).id == name
    assert len(memory.users.all()) == 5
