"""Attempts to bring the data of one user into the vector of another, or into what is pooled."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfsteer.errors import UserError
from selfsteer.memory import Memory, Remembered, Round, Run
from selfsteer.memory.composing import compositions
from selfsteer.steering.vectors import SteeringVector
from tests.memory.users.cast import FINGERPRINT, OTHER, direction, give, says


@pytest.fixture
def users(memory: Memory) -> dict[str, list[str]]:
    """Two who consent with a shared and a private observation each, and one who does not."""
    named = {}
    for name in ("anna", "bert", "carl"):
        memory.users.add(name, consents=name != "carl")
        named[name] = memory.users.observe(
            name, [says(f"{name} shares", 0, scope="shared"), says(f"{name} keeps", 1)]
        )
    return named


def test_evidence_of_another_user(memory: Memory, users: dict[str, list[str]]) -> None:
    with pytest.raises(UserError, match="not one of user 'anna'"):
        give(memory, "anna", direction(1), [users["anna"][0], users["bert"][0]])
    version = give(memory, "anna", direction(1), users["anna"])
    with pytest.raises(sqlite3.IntegrityError, match="of its own user"):
        memory.connection.db.execute(
            "INSERT INTO user_vector_evidence VALUES (?, ?)", [version.id, users["bert"][0]]
        )


def test_the_vector_of_another_user_or_one_that_descends_from_it(
    memory: Memory, users: dict[str, list[str]]
) -> None:
    berts = direction(1)
    give(memory, "bert", berts, users["bert"][:1])
    child = direction(2, parents=[berts])
    memory.put_vector(child)
    for vector in (berts, child, direction(3, parents=[direction(9), child])):
        with pytest.raises(UserError, match="belongs to user 'bert'"):
            give(memory, "anna", vector, users["anna"])
    assert memory.users.versions("anna") == []
    assert memory.users.owners(child.id) == ["bert"]


def test_a_plan_that_names_the_vector_of_another(
    memory: Memory, users: dict[str, list[str]]
) -> None:
    berts, annas = direction(1), direction(2)
    give(memory, "bert", berts)
    with pytest.raises(UserError, match="belongs to user 'bert'"):
        give(memory, "anna", annas, plan={"edits": [{"vector": annas.id}, {"vector": berts.id}]})
    library = direction(3)
    memory.put_vector(library)
    give(memory, "anna", annas, plan={"edits": [{"vector": annas.id}, {"vector": library.id}]})


def test_what_a_run_for_another_user_made(
    memory: Memory, users: dict[str, list[str]], start_run: Callable[..., Run]
) -> None:
    run = memory.runs.start(
        *("be terse",),
        **{"student": "tiny", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
        settings={},
        user_id="bert",
    )
    made = direction(1)
    memory.put_vector(made)
    memory.runs.add_round(
        Round(run_id=run.id, number=0, vector_id=made.id, decision="accept", reason="")
    )
    with pytest.raises(UserError, match="belongs to user 'bert'"):
        give(memory, "anna", made)
    assert give(memory, "bert", made, users["bert"][:1]).scope == "private"


@pytest.fixture
def met(memory: Memory) -> Callable[..., Remembered]:
    """Remembers a plan that met a goal, for a user or for nobody."""

    def put(
        goal: str, *vectors: SteeringVector, user_id: str | None = None, **more: Any
    ) -> Remembered:
        run = memory.runs.start(
            goal,
            **{"student": "tiny", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
            settings={},
            user_id=user_id,
        )
        memory.put_vectors(vectors)
        return memory.remember(
            *(run.id, vectors[0].id),
            goal=goal,
            plan={"edits": [{"vector": vector.id} for vector in vectors]},
            scores={},
            fingerprint=FINGERPRINT,
            **more,
        )

    return put


def asked_by(memory: Memory, user_id: str | None) -> str:
    run = memory.runs.start(
        "x",
        **{"student": "tiny", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
        settings={},
        user_id=user_id,
    )
    return run.id


@pytest.mark.parametrize("place", ["itself", "a descendant", "one of two"])
def test_a_plan_with_the_vector_of_a_user_is_recalled_for_that_user_only(
    memory: Memory, users: dict[str, list[str]], met: Callable[..., Remembered], place: str
) -> None:
    """Also where the run that found it was for nobody, as an evolution from that vector is."""
    annas, library = direction(1), direction(9)
    give(memory, "anna", annas, users["anna"])
    vectors = {
        "itself": [annas],
        "a descendant": [direction(3, parents=[library, direction(2, parents=[annas])])],
        "one of two": [library, annas],
    }[place]
    memory.put_vectors([library, direction(2, parents=[annas])])
    own = met("sound like zanzibar", *vectors)
    met("sound grumpy", library)
    for name, found in (("anna", [own]), ("bert", []), (None, [])):
        asking = asked_by(memory, name)
        for goal in ("Sound like Zanzibar!", "zanzibar today"):
            hits = memory.recall(goal, FINGERPRINT, run_id=asking)
            assert [hit.remembered for hit in hits] == found, (name, goal)
        stale = memory.stale("sound like zanzibar", OTHER, run_id=asking)
        assert [hit.remembered for hit in stale] == found
        composed = list(compositions(memory, "grumpy zanzibar", FINGERPRINT, run_id=asking))
        assert len(composed) == len(found)
        assert (own in memory.recallable(FINGERPRINT, run_id=asking)) == bool(found)
        assert (own in memory.recallable(OTHER, stale=True, run_id=asking)) == bool(found)
    assert memory.recall("sound like zanzibar", FINGERPRINT) == []
    assert [one.goal for one in memory.recallable(FINGERPRINT)] == ["sound grumpy"]
    assert len(memory.remembered()) == 2


def test_the_vector_of_a_user_replaces_no_plan_of_everybodys(
    memory: Memory, users: dict[str, list[str]], met: Callable[..., Remembered]
) -> None:
    annas = direction(1)
    give(memory, "anna", annas, users["anna"])
    older = met("sound grumpy", direction(9))
    newer = met("sound grumpy", annas, supersedes=older.id)
    for_bert = memory.recall("sound grumpy", FINGERPRINT, run_id=asked_by(memory, "bert"))
    assert [hit.remembered for hit in for_bert] == [older]
    newest = met("sound grumpy", direction(2, parents=[annas]), supersedes=newer.id)
    for_anna = memory.recall("sound grumpy", FINGERPRINT, run_id=asked_by(memory, "anna"))
    assert [hit.remembered for hit in for_anna] == [newest, older]


def test_a_plan_made_with_what_is_pooled_is_everybodys(
    memory: Memory, users: dict[str, list[str]], met: Callable[..., Remembered]
) -> None:
    shared, mean = direction(1), direction(2, parents=[direction(1)])
    give(memory, "bert", shared, users["bert"][:1])
    memory.put_vector(mean)
    memory.users.pool(mean.id, ["bert"], kind="population", settings={})
    plan = met("sound usual", direction(3, parents=[mean]))
    assert [hit.remembered for hit in memory.recall("sound usual", FINGERPRINT)] == [plan]


def test_only_those_who_consent_and_share_are_pooled(
    memory: Memory, users: dict[str, list[str]]
) -> None:
    mean = direction(1)
    memory.put_vector(mean)
    memory.users.add("dora", consents=True)
    memory.users.observe("dora", [says("mine")])
    for sources, what in (
        (["anna", "carl"], "'carl' did not consent"),
        (["dora"], "'dora' shared nothing"),
        (["nemo"], "knows no user"),
    ):
        with pytest.raises(UserError, match=what):
            memory.users.pool(mean.id, sources, kind="population", settings={})
    assert memory.users.pooled("population", FINGERPRINT) is None
    made = memory.users.pool(mean.id, ["anna", "bert", "anna"], kind="population", settings={})
    assert made.sources == ("anna", "bert")


def test_private_vectors_and_those_of_others_are_not_pooled(
    memory: Memory, users: dict[str, list[str]]
) -> None:
    private, shared, carls = direction(1), direction(2), direction(3)
    give(memory, "anna", private, users["anna"])
    give(memory, "bert", shared, users["bert"][:1])
    give(memory, "carl", carls, users["carl"][:1])
    for parents, whom in (
        ([private, shared], "anna"),
        ([shared, carls], "carl"),
        ([carls], "carl"),
    ):
        mean = direction(4, parents=parents)
        memory.put_vector(mean)
        with pytest.raises(UserError, match=f"user '{whom}' did not share"):
            memory.users.pool(mean.id, ["anna", "bert"], kind="population", settings={})
    mean = direction(5, parents=[shared])
    memory.put_vector(mean)
    memory.users.pool(mean.id, ["anna", "bert"], kind="population", settings={})


def test_what_is_pooled_may_be_made_use_of_and_is_nobodys_vector(
    memory: Memory, users: dict[str, list[str]]
) -> None:
    shared, mean = direction(1), direction(2, parents=[direction(1)])
    give(memory, "bert", shared, users["bert"][:1])
    memory.put_vector(mean)
    memory.users.pool(mean.id, ["bert"], kind="population", settings={})
    with pytest.raises(UserError, match="pooled from several users"):
        give(memory, "anna", mean)
    own = direction(3, parents=[mean])
    with pytest.raises(UserError, match="pooled from several users"):
        give(memory, "anna", own, plan={"edits": [{"vector": own.id}, {"vector": mean.id}]})
    assert give(memory, "anna", own, users["anna"][:1]).scope == "shared"


def test_consent_that_is_withdrawn_makes_stale_and_keeps_out(
    memory: Memory, users: dict[str, list[str]]
) -> None:
    mean = direction(1)
    memory.put_vector(mean)
    memory.users.pool(mean.id, ["anna", "bert"], kind="population", settings={})
    memory.users.pool(mean.id, ["bert"], kind="basis", settings={})
    memory.users.consent("anna", False)
    population, basis = (memory.users.pooled(kind, FINGERPRINT) for kind in ("population", "basis"))
    assert population is not None and population.stale
    assert basis is not None and not basis.stale
    with pytest.raises(UserError, match="did not consent"):
        memory.users.pool(mean.id, ["anna"], kind="population", settings={})
    memory.users.consent("anna", True)
    assert memory.users.pool(mean.id, ["anna"], kind="population", settings={}).stale is False


def test_the_newest_of_a_kind_and_a_student_is_found(memory: Memory) -> None:
    first, second = direction(1), direction(2)
    foreign = replace(direction(3), student_fingerprint="e" * 64)
    for vector in (first, second, foreign):
        memory.put_vector(vector)
        memory.users.pool(vector.id, [], kind="population", settings={"seed": 1})
    found = memory.users.pooled("population", FINGERPRINT)
    assert found is not None
    assert (found.artefact_id, found.sources, found.settings) == (second.id, (), {"seed": 1})
    blob = memory.put_blob("basis", b"{}")
    for name in (blob, "0" * 16):
        with pytest.raises(UserError, match="which student it is for"):
            memory.users.pool(name, [], kind="basis", settings={})
    blob = memory.put_blob("basis", b"[]", {"student_fingerprint": FINGERPRINT})
    assert memory.users.pool(blob, [], kind="basis", settings={}).fingerprint == FINGERPRINT
