"""Versions of users' vectors: never changed, superseded, judged, one in use."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from selfsteer.errors import UserError
from selfsteer.memory import Memory
from tests.memory.users.cast import FINGERPRINT, OTHER, direction, give, says


def test_a_version_is_held_with_all_that_was_said(memory: Memory) -> None:
    memory.users.add("anna")
    names = memory.users.observe("anna", [says("b", 1), says("a", 0)])
    version = give(memory, "anna", direction(1), [*reversed(names), names[0]])
    assert version.status == "held" and version.reason == "" and version.supersedes is None
    assert version.evidence == tuple(names)  # each once, as they came
    assert (version.settings, version.scores) == ({"shrinkage": 0.5}, {"bits": 0.25})
    assert version.fingerprint == FINGERPRINT
    assert memory.users.versions("anna") == [version]
    assert memory.users.current("anna", FINGERPRINT) is None


def test_it_supersedes_that_of_the_same_user_student_and_method(memory: Memory) -> None:
    for name in ("anna", "bert"):
        memory.users.add(name)
    first = give(memory, "anna", direction(1))
    give(memory, "anna", direction(2), method="traits")
    give(memory, "anna", direction(3, student_fingerprint=OTHER))
    give(memory, "bert", direction(4))
    second = give(memory, "anna", direction(5))
    third = give(memory, "anna", direction(6))
    assert (second.supersedes, third.supersedes) == (first.id, second.id)
    assert [one.supersedes for one in memory.users.versions("anna")] == [
        *(None, None, None),
        first.id,
        second.id,
    ]


def test_one_is_in_use_for_a_user_and_a_student(memory: Memory) -> None:
    memory.users.add("anna")
    first, second = (give(memory, "anna", direction(seed)) for seed in (1, 2))
    elsewhere = give(memory, "anna", direction(3, student_fingerprint=OTHER))
    for version in (first, elsewhere, second):
        used = memory.users.put_in_use(version.id, {"bits": 0.5}, "it beats the population")
        assert (used.status, used.scores, used.reason) == (
            *("in_use", {"bits": 0.5}),
            "it beats the population",
        )
    assert memory.users.current("anna", FINGERPRINT) == memory.users.version(second.id)
    assert memory.users.current("anna", OTHER) == memory.users.version(elsewhere.id)
    retired = memory.users.version(first.id)
    assert (retired.status, second.id in retired.reason) == ("retired", True)


def test_one_that_is_retired_is_served_no_more_and_may_come_back(memory: Memory) -> None:
    memory.users.add("anna")
    version = give(memory, "anna", direction(1))
    memory.users.put_in_use(version.id, {}, "good")
    memory.users.put_in_use(version.id, {"bits": 0.3}, "still good")
    memory.users.retire(version.id, {"bits": -0.1}, "no better than the population")
    assert memory.users.current("anna", FINGERPRINT) is None
    assert memory.users.version(version.id).scores == {"bits": -0.1}
    memory.users.put_in_use(version.id, {}, "good again")
    assert memory.users.current("anna", FINGERPRINT) is not None
    rows = memory.connection.query("SELECT status FROM user_vector_statuses ORDER BY sequence")
    assert [row["status"] for row in rows] == ["held", "in_use", "in_use", "retired", "in_use"]


def test_history_is_never_rewritten(memory: Memory) -> None:
    memory.users.add("anna")
    give(memory, "anna", direction(1))
    for table in ("user_vectors", "user_vector_statuses"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            memory.connection.db.execute(f"UPDATE {table} SET sequence = 9")


def test_the_scope_is_the_strictest_of_the_sources(memory: Memory) -> None:
    memory.users.add("anna")
    shared, private = memory.users.observe(
        "anna", [says("open", scope="shared"), says("secret", 1)]
    )
    open_, secret = direction(1), direction(2)
    assert give(memory, "anna", open_, [shared]).scope == "shared"
    assert give(memory, "anna", secret, [shared, private]).scope == "private"
    assert give(memory, "anna", direction(3)).scope == "private"
    child = direction(4, parents=[secret])
    grandchild = direction(5, parents=[child])
    memory.put_vector(child)
    assert give(memory, "anna", grandchild, [shared]).scope == "private"
    assert give(memory, "anna", direction(6, parents=[open_]), [shared]).scope == "shared"


def test_what_is_not_there(memory: Memory) -> None:
    memory.users.add("anna")
    unknown = replace(direction(1), concept="never stored")
    with pytest.raises(UserError, match="store it first"):
        memory.users.put_vector(
            "anna", unknown.id, method="m", settings={}, plan={}, evidence=[], scores={}
        )
    with pytest.raises(UserError, match="no version 'v'"):
        memory.users.put_in_use("v", {}, "")
    with pytest.raises(UserError, match="is not one of user 'anna'"):
        give(memory, "anna", direction(1), ["0" * 32])
    assert memory.users.versions("anna") == []
