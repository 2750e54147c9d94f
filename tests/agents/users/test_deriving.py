"""A user's vector: put in use when it predicts the user, held when not, retired when it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from selfsteer.agents.users import deriving
from selfsteer.agents.users.deriving import derivable, derive_user, review_user
from selfsteer.agents.users.explaining import explain_version
from selfsteer.agents.users.histories import history_of
from selfsteer.agents.users.learning import KIND
from selfsteer.errors import DatasetError, UserError
from selfsteer.memory.check import check
from selfsteer.memory.store import Memory
from selfsteer.memory.users import Acceptance, Preference
from selfsteer.pocket.users import simulate
from selfsteer.steering.users.derivation.registry import METHODS, derive
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.vectors import SteeringVector
from tests.agents.users.conftest import Put, observed
from tests.known import pocket, pocket_known
from tests.memory.damage import alter_blob


def test_a_steady_user_gets_a_vector_in_use(memory: Memory, put: Put) -> None:
    put("ann", 21)
    found = derive_user(memory, pocket(), pocket_known(), "ann")
    assert found.verdict is not None and found.verdict.better
    current = memory.users.current("ann", pocket().fingerprint)
    assert current is not None and current.id == found.version.id
    assert current.status == "in_use"
    assert "bits per token" in current.reason
    words = memory.users.observations("ann", ["message"])
    mine = {one.id for one in words if one.observation.role == "user"}
    assert mine <= set(current.evidence)


def test_a_user_who_shows_one_thing_and_does_another_gets_none(memory: Memory, put: Put) -> None:
    put("eve", 22, kind="adversarial")
    found = derive_user(memory, pocket(), pocket_known(), "eve")
    assert found.verdict is not None and not found.verdict.better
    assert found.version.status == "held"
    assert memory.users.current("eve", pocket().fingerprint) is None


def test_few_messages_are_kept_and_not_used(memory: Memory) -> None:
    [user] = simulate(1, seed=23)
    memory.users.add("bob")
    memory.users.observe("bob", observed(user)[:3])
    found = derive_user(memory, pocket(), pocket_known(), "bob")
    assert found.verdict is None
    assert found.version.status == "held"


def test_a_new_version_supersedes_the_one_before(memory: Memory, put: Put) -> None:
    put("ann", 21, sessions=slice(0, 1))
    first = derive_user(memory, pocket(), pocket_known(), "ann").version
    put("ann", 21)
    second = derive_user(memory, pocket(), pocket_known(), "ann").version
    assert second.supersedes == first.id
    assert second.vector_id != first.vector_id
    assert len(second.evidence) > len(first.evidence)


def test_a_vector_that_stops_predicting_is_retired(memory: Memory, put: Put) -> None:
    put("eve", 22, kind="adversarial", sessions=slice(0, 1))
    first = derive_user(memory, pocket(), pocket_known(), "eve").version
    memory.users.put_in_use(first.id, {}, "as it were")
    assert review_user(memory, pocket(), pocket_known(), "eve") is None
    time.sleep(0.002)  # what came since is told by the millisecond
    put("eve", 22, kind="adversarial")
    reviewed = review_user(memory, pocket(), pocket_known(), "eve")
    assert reviewed is not None and reviewed[1] is not None
    assert reviewed[0].status == "retired"
    assert reviewed[1].gain < 0
    assert memory.users.current("eve", pocket().fingerprint) is None


def test_evidence_is_what_was_read_and_what_chose_the_dose(memory: Memory, put: Put) -> None:
    put("ann", 24)
    kinds = {one.id: one.observation.kind for one in memory.users.observations("ann")}

    def read(method: str) -> set[str]:
        version = derive_user(memory, pocket(), pocket_known(), "ann", method=method).version
        return {kinds[name] for name in version.evidence}

    assert read("predictive") == {"message"}
    # A dose of choices is chosen by messages where there are some.
    assert read("preference") == {"preference", "rating", "message"}


@pytest.mark.parametrize(
    ("kinds", "measure", "judged"),
    [
        (("preference", "rating"), "choices", 5),
        (("rating",), "ratings", 5),
        (("message", "preference", "rating"), "messages", 10),
    ],
)
def test_users_are_judged_by_what_they_gave(
    memory: Memory, kinds: tuple[str, ...], measure: str, judged: int
) -> None:
    [user] = simulate(1, seed=26)
    memory.users.add("ann")
    memory.users.observe("ann", [one for one in observed(user) if one.kind in kinds])
    found = derive_user(memory, pocket(), pocket_known(), "ann", method="preference")
    assert found.verdict is not None
    assert (found.verdict.measure, found.verdict.judged) == (measure, judged)
    assert found.version.scores["measure"] == measure
    assert found.version.status == ("in_use" if found.verdict.better else "held")


def test_choices_alone_can_put_a_vector_in_use(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who likes one reply, against a population's vector that likes the other."""
    [user] = simulate(1, seed=27)
    choices = [
        Preference(
            session="liked",
            order=n,
            source="api",
            prompt=[{"role": "user", "content": liked.prompt}],
            chosen=user.liked[0].chosen,
            rejected=user.liked[0].rejected,
        )
        for n, liked in enumerate(user.liked)
    ]
    memory.users.add("ann")
    memory.users.observe("ann", choices)
    own = derive(
        "preference", pocket(), history_of(memory.users.observations("ann")), pocket_known()
    )
    monkeypatch.setattr(deriving, "population_plan", lambda _: user_plan(-1.0 * own))
    found = derive_user(memory, pocket(), pocket_known(), "ann", method="preference")
    assert found.verdict is not None
    assert (found.verdict.measure, found.verdict.gain) == ("choices", 1.0)
    assert found.version.status == "in_use"
    assert "share of choices right over the population, on 5 choices" in found.version.reason


def test_a_method_that_needs_messages_is_refused_before_anything_is_learned(
    memory: Memory,
) -> None:
    [user] = simulate(1, seed=26)
    memory.users.add("ann")
    memory.users.observe("ann", [one for one in observed(user) if one.kind == "rating"])
    with pytest.raises(DatasetError, match="preference would do"):
        derivable(memory, "ann", "predictive", None)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_derives_a_version(memory: Memory, put: Put, method: str) -> None:
    put("ann", 24)
    found = derive_user(memory, pocket(), pocket_known(), "ann", method=method)
    vector = memory.get_vector(found.version.vector_id)
    assert found.version.method == method
    assert vector.layers == (pocket_known().encoder.layer,)
    assert found.version.evidence


def test_contradicting_evidence_shortens_the_vector(memory: Memory, put: Put) -> None:
    put("ann", 25)
    put("eve", 25, kind="noisy")
    origin = pocket_known().encoder.population_vector()

    def length(name: str) -> float:
        found = derive_user(memory, pocket(), pocket_known(), name)
        own = memory.get_vector(found.version.vector_id) - origin
        return float(own.directions[pocket_known().encoder.layer].norm())

    assert length("eve") < length("ann")


def replies(user_id: str, memory: Memory) -> None:
    """Replies that were turned down, shared, for others that were taken, private."""
    memory.users.add(user_id)
    memory.users.observe(
        user_id,
        [
            Acceptance(
                session="s",
                order=2 * number + accepted,
                source="api",
                scope="private" if accepted else "shared",
                prompt=[{"role": "user", "content": f"Tell me of the {what}."}],
                reply=f"The {what} is {'lovely' if accepted else 'dull'}.",
                accepted=bool(accepted),
            )
            for number, what in enumerate(("sea", "city", "garden"))
            for accepted in (0, 1)
        ],
    )


def test_a_vector_of_replies_that_were_taken_is_as_private_as_they_are(memory: Memory) -> None:
    replies("ann", memory)
    version = derive_user(memory, pocket(), pocket_known(), "ann", method="preference").version
    assert version.scope == "private"
    assert len(version.evidence) == 6
    told = explain_version(memory, pocket(), pocket_known(), "ann", samples=1).told
    assert len(told.influences) == 3


def leaves(memory: Memory, user_id: str, *, by: str) -> Callable[..., SteeringVector]:
    """Deriving, while which somebody is forgotten or withdraws."""

    def derived(*words: Any, **more: Any) -> SteeringVector:
        vector = derive(*words, **more)
        if user_id in {user.id for user in memory.users.all()}:
            if by == "forgetting":
                memory.users.forget(user_id)
            else:
                memory.users.consent(user_id, False)
        return vector

    return derived


def test_a_user_who_is_forgotten_meanwhile_leaves_no_vector(
    memory: Memory, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("ann", 21)
    monkeypatch.setattr(deriving, "derive", leaves(memory, "ann", by="forgetting"))
    with pytest.raises(UserError, match="'ann'"):
        derive_user(memory, pocket(), pocket_known(), "ann")
    assert memory.vectors() == []


def test_a_kill_before_the_version_is_on_record_leaves_no_vector(
    memory: Memory, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("ann", 21)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memory.users, "put_vector", killed)
    with pytest.raises(KeyboardInterrupt):
        derive_user(memory, pocket(), pocket_known(), "ann")
    assert memory.vectors() == []


@pytest.mark.parametrize("by", ["forgetting", "withdrawing"])
def test_nothing_is_derived_with_a_map_that_somebody_left_meanwhile(
    memory: Memory, put: Put, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    put("ann", 21)
    put("bob", 31, scope="shared", consents=True)
    known = pocket_known()
    meta = {"student_fingerprint": pocket().fingerprint}
    name = memory.put_blob(KIND, known.encoder.to_bytes(), meta)
    memory.users.pool(name, ["bob"], kind=KIND, settings={})
    with monkeypatch.context() as patch:
        patch.setattr(deriving, "derive", leaves(memory, "bob", by=by))
        with pytest.raises(UserError, match="derive again"):
            derive_user(memory, pocket(), known, "ann")
    assert memory.vectors() == [] and memory.users.versions("ann") == []
    memory.put_blob(KIND, known.encoder.to_bytes(), meta)
    memory.users.pool(name, [], kind=KIND, settings={})
    assert derive_user(memory, pocket(), known, "ann").version.settings["encoder"] == name


def test_a_vector_in_use_that_was_altered_on_disk_is_retired_and_derived_again(
    memory: Memory, put: Put
) -> None:
    put("ann", 21)
    first = derive_user(memory, pocket(), pocket_known(), "ann").version
    assert first.status == "in_use"
    alter_blob(memory.path, first.vector_id)
    with Memory.open(memory.path) as again:
        reviewed = review_user(again, pocket(), pocket_known(), "ann")
        assert reviewed == (again.users.version(first.id), None)
        assert reviewed[0].status == "retired" and "altered on disk" in reviewed[0].reason
        second = derive_user(again, pocket(), pocket_known(), "ann").version
        assert second.vector_id == first.vector_id
        assert again.get_vector(second.vector_id).id == first.vector_id
        assert check(again).faults == ()


def test_a_vector_is_explained_though_the_one_before_was_altered_on_disk(
    memory: Memory, put: Put
) -> None:
    put("ann", 21, sessions=slice(0, 1))
    first = derive_user(memory, pocket(), pocket_known(), "ann").version
    put("ann", 21)
    second = derive_user(memory, pocket(), pocket_known(), "ann").version
    memory.users.put_in_use(second.id, {}, "as it were")
    assert explain_version(memory, pocket(), pocket_known(), "ann", samples=1).told.change
    alter_blob(memory.path, first.vector_id)
    with Memory.open(memory.path) as again, pytest.warns(UserWarning, match=first.vector_id):
        found = explain_version(again, pocket(), pocket_known(), "ann", samples=1)
    assert found.version.id == second.id and found.told.change is None


def test_a_user_who_said_nothing_is_refused(memory: Memory) -> None:
    memory.users.add("mute")
    with pytest.raises(UserError, match="observe something first"):
        derive_user(memory, pocket(), pocket_known(), "mute")


def test_an_unknown_method_is_refused(memory: Memory, put: Put) -> None:
    put("ann", 21)
    with pytest.raises(DatasetError, match="Unknown method"):
        derive_user(memory, pocket(), pocket_known(), "ann", method="horoscope")
