"""All arms side by side, on the newer half or on what came since."""

from __future__ import annotations

import time
from statistics import fmean

import pytest

from selfsteer.agents.users import predicting
from selfsteer.agents.users.deriving import derive_user
from selfsteer.agents.users.histories import history_of
from selfsteer.agents.users.predicting import NAMES, predict_user, predictable
from selfsteer.errors import DatasetError, UserError
from selfsteer.memory.store import Memory
from selfsteer.pocket.users import simulate
from selfsteer.steering.users.dose import DOSES, user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import Condition, choice_scores
from tests.agents.users.conftest import Put, observed
from tests.known import history, pocket, pocket_known


def strangers(count: int = 3) -> list[History]:
    return [history(user) for user in simulate(count, seed=61)]


def predicted(memory: Memory, name: str = "ann", **options: object) -> predicting.Prediction:
    return predict_user(
        memory,
        pocket(),
        pocket_known(),
        name,
        strangers(),
        **options,  # type: ignore[arg-type]
    )


def test_every_arm_has_every_measure_with_paired_differences(memory: Memory, put: Put) -> None:
    put("ann", 21)
    found = predicted(memory, profile="Sad.")
    assert tuple(found.arms) == tuple(NAMES)
    assert found.judged == {"messages": 10, "choices": 5, "ratings": 5}
    for arm in found.arms.values():
        assert set(arm) == {"messages", "choices", "ratings"}
        for measure, figure in arm.items():
            own = found.arms["own"][measure]
            assert figure.ahead == pytest.approx(own.value - figure.value)
            low, high = figure.ahead_interval
            assert low - 1e-9 <= figure.ahead <= high + 1e-9 or measure == "ratings"
    nothing = found.arms["none"]
    assert [one.value for one in nothing.values()] == [0.0, 0.5, 0.0]
    assert found.arms["own"]["messages"].ahead_interval == (0.0, 0.0)


def test_other_users_stand_for_shuffled_ones_on_average(memory: Memory, put: Put) -> None:
    put("ann", 21)
    known = pocket_known()
    _, judged = history_of(memory.users.observations("ann")).halves()
    vectors = known.encoder.vectors(pocket(), strangers())
    conditions = [Condition(user_plan(vector)) for vector in vectors]
    [hits] = choice_scores(pocket(), [judged], [conditions])
    found = predicted(memory).arms["shuffled"]["choices"].value
    assert found == pytest.approx(fmean(fmean(one) for one in hits))


def test_the_dose_is_chosen_on_what_does_not_judge(
    memory: Memory, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("ann", 21)
    history_ = history_of(memory.users.observations("ann"))
    older, judged = history_.halves()
    seen: list[History] = []
    choose = predicting.chosen_dose

    def watched(student: object, known: object, given: History, *rest: object) -> object:
        seen.append(given)
        return choose(student, known, given, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(predicting, "chosen_dose", watched)
    found = predicted(memory, method="contrast")
    assert found.dose in DOSES
    assert seen == [older]
    assert not {turn.source for turn in older.turns} & {turn.source for turn in judged.turns}


def test_a_half_life_is_handed_on(memory: Memory, put: Put) -> None:
    put("ann", 21, kind="drifting")
    one, other = (predicted(memory, half_life=life) for life in (None, 2.0))
    assert one.arms["own"]["messages"].value != other.arms["own"]["messages"].value
    assert one.arms["population"] != other.arms["population"]  # own is ahead by something else
    assert one.arms["population"]["messages"].value == other.arms["population"]["messages"].value
    with pytest.raises(DatasetError, match="not positive"):
        predicted(memory, half_life=-1.0)


def test_users_with_feedback_alone_are_predicted(memory: Memory) -> None:
    [user] = simulate(1, seed=26)
    memory.users.add("ann")
    memory.users.observe("ann", [one for one in observed(user) if one.kind != "message"])
    found = predicted(memory, method="preference")
    assert found.judged == {"choices": 5, "ratings": 5}
    assert set(found.arms) == {"none", "population", "own", "shuffled"}
    assert found.context is None
    with pytest.raises(DatasetError, match="preference would do"):
        predictable(memory, "ann", "predictive")


def test_the_version_in_use_is_judged_on_what_came_since(memory: Memory, put: Put) -> None:
    put("ann", 21, sessions=slice(0, 1))
    version = derive_user(memory, pocket(), pocket_known(), "ann").version
    memory.users.put_in_use(version.id, {}, "as it were")
    with pytest.raises(UserError, match="Too little was observed"):
        predicted(memory, in_use=True)
    time.sleep(0.002)
    put("ann", 21)
    found = predicted(memory, in_use=True)
    assert found.version == version.id
    assert (found.told, found.judged["messages"]) == (10, 10)
    assert memory.users.version(version.id).status == "in_use"


def test_too_little_is_refused(memory: Memory) -> None:
    [user] = simulate(1, seed=26)
    memory.users.add("ann")
    memory.users.observe("ann", observed(user)[:4])
    with pytest.raises(UserError, match="2 messages, 0 choices and 0 ratings; predicting needs"):
        predictable(memory, "ann", "predictive")
