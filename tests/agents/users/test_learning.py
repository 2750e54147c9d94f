"""Who is learned from: those who consent and share, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from selfsteer.agents.users import learning
from selfsteer.agents.users.learning import KIND, Crowd, known_users
from selfsteer.memory.store import Memory
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.history import History
from tests.agents.users.conftest import Put
from tests.known import pocket, pocket_encoder


class Learned:
    """Stands for the fitting, and keeps whom it was given."""

    def __init__(self) -> None:
        self.asked: list[Sequence[History]] = []

    def __call__(self, student: object, histories: Sequence[History], **_: object) -> UserEncoder:
        self.asked.append(histories)
        return pocket_encoder()

    @property
    def words(self) -> set[str]:
        return {turn.words for history in self.asked[-1] for turn in history.turns}


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> Learned:
    found = Learned()
    monkeypatch.setattr(learning, "fit_encoder", found)
    monkeypatch.setattr(learning, "ENOUGH", 3)
    return found


def test_the_simulated_crowd_serves_until_enough_consent(
    memory: Memory, crowd: Crowd, put: Put, learned: Learned
) -> None:
    put("ann", 31, scope="shared", consents=True)
    put("bob", 32, scope="shared", consents=False)
    put("cem", 33, scope="private", consents=True)
    known_users(memory, pocket(), crowd)
    pooled = memory.users.pooled(KIND, pocket().fingerprint)
    assert pooled is not None
    assert pooled.sources == ()
    assert pooled.settings["simulated"] is True
    assert len(learned.asked[0]) == len(crowd.histories())


def test_nothing_is_learned_twice(memory: Memory, crowd: Crowd, learned: Learned) -> None:
    one, other = (known_users(memory, pocket(), crowd) for _ in range(2))
    assert len(learned.asked) == 1
    assert one.encoder.id == other.encoder.id


def test_those_who_consent_and_share_are_learned_from_and_nobody_else(
    memory: Memory, crowd: Crowd, put: Put, learned: Learned
) -> None:
    for number, name in enumerate(("ann", "bob", "cem")):
        put(name, 40 + number, scope="shared", consents=True)
    silent = put("dan", 50, scope="shared", consents=False)
    secret = put("eve", 51, scope="private", consents=True)
    known_users(memory, pocket(), crowd)
    pooled = memory.users.pooled(KIND, pocket().fingerprint)
    assert pooled is not None
    assert set(pooled.sources) == {"ann", "bob", "cem"}
    for user in (silent, secret):
        said = {s.text for session in user.sessions for s in session if s.role == "user"}
        assert not said & learned.words


def test_forgetting_somebody_makes_it_anew(
    memory: Memory, crowd: Crowd, put: Put, learned: Learned
) -> None:
    for number, name in enumerate(("ann", "bob", "cem", "dan")):
        put(name, 40 + number, scope="shared", consents=True)
    known_users(memory, pocket(), crowd)
    memory.users.forget("bob")
    known_users(memory, pocket(), crowd)
    assert [len(histories) for histories in learned.asked] == [4, 3]
    pooled = memory.users.pooled(KIND, pocket().fingerprint)
    assert pooled is not None and not pooled.stale
    assert "bob" not in pooled.sources


def test_what_was_made_for_a_user_is_no_trait_of_others(
    memory: Memory, crowd: Crowd, learned: Learned
) -> None:
    known = known_users(memory, pocket(), crowd)
    assert set(known.traits) == set(crowd.traits())
