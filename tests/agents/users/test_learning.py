"""Who is learned from: those who consent and share, and nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from selfsteer.agents.users import learning
from selfsteer.agents.users.deriving import derive_user
from selfsteer.agents.users.learning import KIND, Crowd, known_users
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Message
from selfsteer.memory.users.pooling import BLANKS
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.history import History
from selfsteer.steering.vectors import SteeringVector, random_like
from tests.agents.users.conftest import Put
from tests.known import pocket, pocket_encoder, pocket_known
from tests.memory.damage import alter_blob, misdeed


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


def met(memory: Memory, goal: str, seed: int, **more: Any) -> SteeringVector:
    """A run met a goal with a vector that was read from pairs."""
    sides = [
        [
            Example(prompt=Prompt.chat("How are you?"), completion=f"{goal}: {number} {side}.")
            for side in ("yes", "no")
        ]
        for number in range(6)
    ]
    pairs = tuple(ContrastivePair(positive=yes, negative=no) for yes, no in sides)
    dataset = ContrastiveDataset(concept=goal, pairs=pairs)
    run = memory.runs.start(
        goal,
        student="pocket",
        fingerprint=pocket().fingerprint,
        controller="self",
        seed=0,
        settings={},
        user_id=more.pop("user_id", None),
    )
    made = random_like(pocket_encoder().population_vector(), seed)
    made = replace(made, dataset_id=memory.put_dataset(dataset), **more)
    memory.put_vector(made)
    memory.remember(
        *(run.id, made.id),
        **{"goal": goal, "plan": {"edits": [{"vector": made.id}]}, "scores": {}},
        fingerprint=made.student_fingerprint,
    )
    return made


def test_what_was_made_for_a_user_is_no_trait_of_others(
    memory: Memory, crowd: Crowd, put: Put, learned: Learned
) -> None:
    put("ann", 21)
    own = derive_user(memory, pocket(), pocket_known(), "ann").version.vector_id
    met(memory, "sound like ann", 1, user_id="ann")
    met(memory, "sound like ann again", 2, parents=(own,))
    met(memory, "sound grand", 3)
    known = known_users(memory, pocket(), crowd)
    assert set(known.traits) == {*crowd.traits(), "sound grand"}


def test_a_trait_that_was_altered_on_disk_is_left_out(
    memory: Memory, crowd: Crowd, learned: Learned
) -> None:
    made = [met(memory, goal, seed) for seed, goal in enumerate(("grand", "small", "quick"))]
    alter_blob(memory.path, made[0].id)
    alter_blob(memory.path, made[1].dataset_id)
    with Memory.open(memory.path) as again, pytest.warns(UserWarning) as told:
        known = known_users(again, pocket(), crowd)
    assert set(known.traits) == {*crowd.traits(), "quick"}
    said = " ".join(str(one.message) for one in told)
    assert "“grand” is no trait" in said and "“small” is no trait" in said


def test_what_was_learned_and_altered_on_disk_is_learned_again(
    memory: Memory, crowd: Crowd, learned: Learned
) -> None:
    first = known_users(memory, pocket(), crowd).encoder
    misdeed(memory.path, "UPDATE artefacts SET data = zeroblob(size) WHERE id = ?", first.id)
    with Memory.open(memory.path) as again:
        with pytest.warns(UserWarning, match="learned again"):
            assert known_users(again, pocket(), crowd).encoder.id == first.id
        assert known_users(again, pocket(), crowd).encoder.id == first.id
    assert len(learned.asked) == 2


@pytest.mark.parametrize("by", ["forgetting", "withdrawing"])
def test_who_leaves_while_it_is_learned_is_not_in_it(
    memory: Memory,
    crowd: Crowd,
    put: Put,
    learned: Learned,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    for number, name in enumerate(("ann", "bob", "cem", "dan")):
        put(name, 40 + number, scope="shared", consents=True)

    def fit(*words: Any, **more: Any) -> UserEncoder:
        if not learned.asked and by == "forgetting":
            memory.users.forget("bob")
        elif not learned.asked:
            memory.users.consent("bob", False)
        return learned(*words, **more)

    monkeypatch.setattr(learning, "fit_encoder", fit)
    known_users(memory, pocket(), crowd)
    assert [len(histories) for histories in learned.asked] == [4, 3]
    pooled = memory.users.pooled(KIND, pocket().fingerprint)
    assert pooled is not None and set(pooled.sources) == {"ann", "cem", "dan"}


def test_a_kill_before_it_is_on_record_leaves_no_bytes(
    memory: Memory, crowd: Crowd, put: Put, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memory.users, "pool", killed)
    with pytest.raises(KeyboardInterrupt):
        known_users(memory, pocket(), crowd)
    assert memory.artefacts(KIND) == []


def test_who_shares_enough_is_counted_without_reading_what_they_said(
    memory: Memory, crowd: Crowd, put: Put, learned: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("ann", "bob", "cem")):
        put(name, 40 + number, scope="shared", consents=True)
    known_users(memory, pocket(), crowd)
    asked: list[str] = []
    monkeypatch.setattr(memory.users, "observations", lambda name, *_: asked.append(name))
    known_users(memory, pocket(), crowd)
    assert asked == []


def test_messages_count_that_are_shared_and_have_words(memory: Memory) -> None:
    assert set(BLANKS) == {chr(code) for code in range(0x3001) if chr(code).isspace()}

    def said(name: str, order: int, content: str, **more: Any) -> Message:
        told = {"role": "user", "scope": "shared", **more}
        return Message(session="s", order=order, source="api", content=content, **told)

    for name, extra in {
        "enough": {},
        "blank": {"content": BLANKS},
        "private": {"scope": "private"},
        "answered": {"role": "assistant"},
        "refuses": {},
    }.items():
        memory.users.add(name, consents=name != "refuses")
        last = said(name, 1, **{"content": "two", **extra})
        memory.users.observe(name, [said(name, 0, "one"), last])
    assert memory.users.sharing(2) == ["enough"]
    assert memory.users.sharing(1) == ["enough", "blank", "private", "answered"]
