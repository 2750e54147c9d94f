"""A user who wrote a megabyte is derived, judged and explained like any other."""

from __future__ import annotations

from functools import partial

import pytest

from selfsteer.agents.users import learning
from selfsteer.agents.users.deriving import derive_user
from selfsteer.agents.users.explaining import explain_version
from selfsteer.agents.users.learning import KIND, Crowd, known_users
from selfsteer.agents.users.predicting import predict_user
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Message, Preference
from selfsteer.pocket.users import simulate
from selfsteer.steering.lengths import most_tokens
from selfsteer.steering.model import Student
from selfsteer.steering.users.fitting import fit_encoder
from tests.agents.users.conftest import Put, observed
from tests.known import history, pocket, pocket_known

CONTEXT = 256  # a short one, so that the tests are quick
HUGE = "We remember the boat and I weep. " * 32_000


@pytest.fixture(autouse=True)
def _context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pocket().__dict__, "context_length", CONTEXT)


@pytest.fixture
def ann(memory: Memory) -> str:
    """Ten messages, of which the first and the last have a megabyte, and a huge choice."""
    [user] = simulate(1, seed=21, sessions=1)
    memory.users.add("ann", consents=True)
    place = {"source": "api", "scope": "shared"}
    memory.users.observe(
        "ann",
        [
            Message(session="long", order=0, role="user", content=HUGE, **place),
            *observed(user, "shared"),
            Message(session="later", order=0, role="user", content=HUGE, **place),
            Preference(
                session="liked",
                order=99,
                prompt=[{"role": "user", "content": HUGE}],
                chosen=HUGE,
                rejected="no",
                **place,
            ),
        ],
    )
    return "ann"


@pytest.mark.parametrize("method", ["predictive", "preference"])
def test_it_is_derived_and_explained(memory: Memory, ann: str, method: str) -> None:
    assert len(HUGE) > 2**20
    found = derive_user(memory, pocket(), pocket_known(), ann, method=method)
    vector = memory.get_vector(found.version.vector_id)
    assert vector.notes["cut"] in (1, 2, 3)
    told = explain_version(memory, pocket(), pocket_known(), ann, samples=1).told
    assert any(one.words == HUGE for one in told.influences)


def test_it_is_predicted(memory: Memory, ann: str) -> None:
    strangers = [history(user) for user in simulate(2, seed=1)]
    found = predict_user(memory, pocket(), pocket_known(), ann, strangers)
    assert set(found.arms) >= {"population", "own", "shuffled", "history"}


def test_who_consents_is_learned_from(
    memory: Memory, crowd: Crowd, ann: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "ENOUGH", 8)
    monkeypatch.setattr(learning, "fit_encoder", partial(fit_encoder, epochs=1))
    for number in range(7):
        put(f"u{number}", 60 + number, scope="shared", consents=True)
    known_users(memory, pocket(), crowd)
    pooled = memory.users.pooled(KIND, pocket().fingerprint)
    assert pooled is not None and "ann" in pooled.sources


def test_half_of_the_context_is_the_most_of_a_message() -> None:
    assert most_tokens(pocket()) == CONTEXT // 2
    assert most_tokens(Student.load("pocket")) == 1024
