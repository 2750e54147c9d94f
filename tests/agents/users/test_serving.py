"""What is applied for a user: the plan of the version in use, and refusals."""

from __future__ import annotations

import time

import pytest

from selfsteer.agents.users.deriving import derive_user
from selfsteer.agents.users.learning import KIND
from selfsteer.agents.users.serving import plan_of, told_and_since, version_in_use
from selfsteer.errors import UserError
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Message
from selfsteer.steering.users.dose import user_plan
from tests.agents.users.conftest import Put
from tests.known import pocket, pocket_known
from tests.steering.students import build_student


def test_the_plan_is_that_which_was_put_on_record(memory: Memory, put: Put) -> None:
    put("ann", 21)
    version = derive_user(memory, pocket(), pocket_known(), "ann").version
    found = plan_of(memory, version_in_use(memory, pocket(), "ann"))
    assert found.describe() == version.plan
    assert found == user_plan(memory.get_vector(version.vector_id))


def test_a_held_vector_is_not_applied(memory: Memory, put: Put) -> None:
    put("eve", 22, kind="adversarial")
    derive_user(memory, pocket(), pocket_known(), "eve")
    with pytest.raises(
        UserError, match=r"'eve' has no vector in use for pocket; .*user derive eve"
    ):
        version_in_use(memory, pocket(), "eve")
    with pytest.raises(UserError, match="bob"):
        version_in_use(memory, pocket(), "bob")


def test_a_vector_of_another_student_is_not_applied(memory: Memory, put: Put) -> None:
    put("ann", 21)
    derive_user(memory, pocket(), pocket_known(), "ann")
    with pytest.raises(UserError, match="only for another student"):
        version_in_use(memory, build_student("llama"), "ann")


def test_a_vector_made_with_somebody_who_was_forgotten_is_not_applied(
    memory: Memory, put: Put
) -> None:
    put("ann", 21)
    put("bert", 30, scope="shared", consents=True)
    encoder = pocket_known().encoder
    meta = {"student_fingerprint": pocket().fingerprint}
    stored = memory.put_blob(KIND, encoder.to_bytes(), meta)
    assert stored == encoder.id
    memory.users.pool(stored, ["bert"], kind=KIND, settings={})
    derive_user(memory, pocket(), pocket_known(), "ann")
    assert version_in_use(memory, pocket(), "ann").status == "in_use"
    memory.users.consent("bert", False)
    with pytest.raises(UserError, match=r"is stale: .*user derive ann' makes it anew"):
        version_in_use(memory, pocket(), "ann")


def test_what_came_since_is_what_was_observed_afterwards(memory: Memory, put: Put) -> None:
    put("ann", 21)
    version = derive_user(memory, pocket(), pocket_known(), "ann").version
    told, since = told_and_since(memory, version)
    assert len(told.turns) == 20 and not since.size
    assert not told.choices  # the map does not read them
    time.sleep(0.002)
    more = Message(session="s9", order=0, source="api", role="user", content="We remember.")
    memory.users.observe("ann", [more])
    told, since = told_and_since(memory, version)
    assert [turn.words for turn in since.turns] == ["We remember."]
    assert len(told.turns) == 20 and not since.choices
