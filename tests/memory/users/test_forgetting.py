"""Forgetting a user: rows, words and bytes go, and what belongs to others stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfsteer.errors import UserError
from selfsteer.memory import Candidate, Charge, Memory, PaidCall, Round, Run
from selfsteer.memory.check import check
from selfsteer.memory.search import search
from selfsteer.memory.users import forgetting
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector
from tests.memory.users.cast import FINGERPRINT, direction, give, says
from tests.memory.users.traces import numbers, rows, traces

Live = Callable[..., Run]


@pytest.fixture
def live(memory: Memory) -> Live:
    """A run from its goal to the plan that is remembered."""

    def whole(goal: str, vector: SteeringVector, *, user_id: str | None = None, **more: Any) -> Run:
        run = memory.runs.start(
            goal,
            **{"student": "tiny", "fingerprint": FINGERPRINT, "controller": "self", "seed": 0},
            settings={"goal": goal},
            user_id=user_id,
        )
        memory.put_vector(vector)
        replies = memory.put_generations([{"reply": f"{goal} says the reply"}])
        memory.runs.add_round(
            Round(
                run_id=run.id,
                number=0,
                vector_id=vector.id,
                decision="accept",
                reason=f"because of {goal}",
            )
        )
        memory.runs.add_candidates(
            [
                Candidate(
                    **{"run_id": run.id, "round": 0, "split": "development", "number": 0, "n": 1},
                    plan={"vector": vector.id},
                    generations_id=replies,
                )
            ]
        )
        memory.runs.add_event(run.id, "proposed", {"goal": goal, "vector": vector.id})
        call = PaidCall(run_id=run.id, step="s", role="judge", attempt=1, request={"ask": goal})
        memory.ledger.begin(call, Charge())
        memory.ledger.commit(call, f"the answer to {goal}")
        memory.runs.store_verdict(run.id, {"vector_id": vector.id, "reason": goal})
        memory.runs.finish(run.id, "accepted", seconds=1.0)
        memory.remember(
            *(run.id, vector.id),
            **{"goal": goal, "plan": {"vector": vector.id}, "scores": {}},
            fingerprint=FINGERPRINT,
            **more,
        )
        return run

    return whole


@pytest.fixture
def cast(memory: Memory) -> dict[str, list[str]]:
    """Two users who consent and said something, shared and private."""
    named = {}
    for name, word in (("anna", "zanzibar"), ("bert", "timbuktu")):
        memory.users.add(name, consents=True)
        named[name] = memory.users.observe(
            name,
            [
                says(f"I dream of {word}.", 0, scope="shared"),
                says(f"Take me to {word}!", 1, session=f"{word} trip"),
            ],
        )
    return named


def test_a_user_with_nothing_else(memory: Memory, path: Path, cast: dict[str, list[str]]) -> None:
    version = give(memory, "anna", direction(1), cast["anna"])
    memory.users.put_in_use(version.id, {"bits": 1.0}, "good")
    assert traces(path.parent, ["zanzibar", numbers(direction(1))])
    report = memory.users.forget("anna")
    assert (report.observations, report.versions, report.remains) == (2, 1, ())
    assert report.artefacts == (direction(1).id,)
    assert traces(path.parent, ["zanzibar", "anna", numbers(direction(1)), direction(1).id]) == []
    with pytest.raises(UserError, match="knows no user"):
        memory.users.forget("anna")
    assert memory.users.get("bert").counts == {"message": 2}
    assert check(memory).faults == ()


def test_nothing_of_another_user_goes(
    memory: Memory, path: Path, cast: dict[str, list[str]], live: Live
) -> None:
    bert = give(memory, "bert", direction(2), cast["bert"])
    memory.users.put_in_use(bert.id, {"bits": 1.0}, "good")
    live("sound like timbuktu", direction(3), user_id="bert")
    live("sound grumpy", direction(4))
    before, used = rows(memory), memory.users.current("bert", FINGERPRINT)
    told = (memory.users.observations("bert"), memory.runs.all(), memory.remembered())
    give(memory, "anna", direction(1), cast["anna"])
    live("sound like zanzibar", direction(5), user_id="anna")
    memory.users.forget("anna")
    after = rows(memory)
    gone = {name: before[name] - after[name] for name in before if before[name] != after[name]}
    assert gone == {"users": 1, "consents": 1, "observations": 2}
    assert memory.users.current("bert", FINGERPRINT) == used
    assert told == (memory.users.observations("bert"), memory.runs.all(), memory.remembered())
    for seed in (2, 3, 4):
        assert memory.get_vector(direction(seed).id) == direction(seed)
    assert search(memory, "timbuktu") != [] and search(memory, "grumpy") != []
    assert memory.recall("sound grumpy", FINGERPRINT) != []
    assert check(memory).faults == ()


def test_runs_for_the_user_go_with_all_that_they_left(
    memory: Memory, path: Path, cast: dict[str, list[str]], live: Live
) -> None:
    run = live("sound like zanzibar", direction(1), user_id="anna")
    assert traces(path.parent, ["zanzibar", numbers(direction(1))])
    report = memory.users.forget("anna")
    assert report.runs == (run.id,)
    assert traces(path.parent, ["zanzibar", run.id, numbers(direction(1))]) == []
    assert search(memory, "zanzibar") == [] and memory.artefacts("generations") == []
    assert memory.ledger.entries(run.id) == []


def test_the_line_of_descent_goes_and_every_run_that_names_it(
    memory: Memory, path: Path, cast: dict[str, list[str]], live: Live
) -> None:
    library = direction(9)
    memory.put_vector(library)
    own = direction(1, parents=[library])
    child = direction(2, parents=[library, own])
    grandchild = direction(3, parents=[child])
    give(memory, "anna", own, cast["anna"])
    for vector in (child, grandchild):
        memory.put_vector(vector)
    first = live("be grumpy", library)
    named = live("be quaint", grandchild)
    memory.doubt(memory.remembered()[1].id, first.id, thresholds={}, scores={})
    report = memory.users.forget("anna")
    assert set(report.artefacts) >= {own.id, child.id, grandchild.id}
    assert (report.runs, memory.get_vector(library.id)) == ((named.id,), library)
    assert [run.id for run in memory.runs.all()] == [first.id]
    assert traces(path.parent, map(numbers, (own, child, grandchild))) == []
    assert traces(path.parent, ["quaint"]) == []
    assert check(memory).faults == ()


def test_a_dataset_of_the_users_words_goes_with_all_that_was_read_from_it(
    memory: Memory, path: Path, cast: dict[str, list[str]], dataset: ContrastiveDataset
) -> None:
    name = memory.put_dataset(dataset)
    used, lost = direction(1, dataset_id=name), direction(2, dataset_id=name)
    memory.put_vector(lost)
    give(memory, "anna", used, cast["anna"])
    report = memory.users.forget("anna")
    assert set(report.artefacts) == {name, used.id, lost.id}
    assert traces(path.parent, ["Go away.", numbers(lost)]) == []


def test_the_library_that_a_user_is_told_in_stays(
    memory: Memory, cast: dict[str, list[str]], dataset: ContrastiveDataset
) -> None:
    glad = direction(1, dataset_id=memory.put_dataset(dataset))
    memory.put_vector(glad)
    own = glad * 0.7
    assert own.dataset_id == glad.dataset_id
    give(memory, "anna", own, cast["anna"])
    assert memory.users.forget("anna").artefacts == (own.id,)
    assert memory.get_vector(glad.id) == glad and memory.get_dataset(dataset.id) == dataset


def test_what_a_run_for_the_user_only_recalled_stays(
    memory: Memory, cast: dict[str, list[str]], live: Live
) -> None:
    first = live("be grumpy", direction(1))
    older = memory.remembered()[0]
    live("be grumpy", direction(1), user_id="anna", supersedes=older.id)
    memory.users.forget("anna")
    assert memory.get_vector(direction(1).id) == direction(1)
    assert [run.id for run in memory.runs.all()] == [first.id]
    assert memory.remembered() == [older]


def test_a_plan_that_superseded_one_that_goes_stands_for_itself(
    memory: Memory, cast: dict[str, list[str]], live: Live
) -> None:
    give(memory, "anna", direction(1), cast["anna"])
    live("be grumpy", direction(1))
    older = memory.remembered()[0]
    live("be grumpy", direction(2), supersedes=older.id)
    memory.users.forget("anna")
    [left] = memory.remembered()
    assert (left.vector_id, left.supersedes) == (direction(2).id, None)
    assert [hit.exact for hit in memory.recall("be grumpy", FINGERPRINT)] == [True]
    assert check(memory).faults == ()


def test_what_is_pooled_is_stale_and_gone_and_others_made_with_it_are_told(
    memory: Memory, path: Path, cast: dict[str, list[str]]
) -> None:
    mean = direction(1)
    memory.put_vector(mean)
    stale = memory.users.pool(
        mean.id, ["anna", "bert"], kind="population", settings={"weights": {"anna": 1}}
    )
    basis = memory.put_blob("basis", b"12", {"student_fingerprint": FINGERPRINT})
    memory.users.pool(basis, ["bert"], kind="basis", settings={})
    composed = direction(5, parents=[mean])
    memory.put_vector(composed)
    touched = give(memory, "bert", direction(2, parents=[mean]), cast["bert"])
    alone = give(memory, "bert", direction(3), cast["bert"], method="alone")
    later = direction(4, parents=[direction(2, parents=[mean])])
    memory.put_vector(later)
    report = memory.users.forget("anna")
    assert report.stale == (stale.id,) and report.touched == (touched.id,)
    assert set(report.artefacts) == {mean.id, composed.id}
    found = memory.users.pooled("population", FINGERPRINT)
    assert found is not None
    assert (found.stale, found.sources, found.settings) == (True, ("bert",), {})
    kept = memory.users.pooled("basis", FINGERPRINT)
    assert kept is not None and not kept.stale and memory.get_blob("basis", basis) == b"12"
    assert memory.users.versions("bert") == [touched, alone]
    assert memory.get_vector(later.id) == later
    assert traces(path.parent, ["anna", "zanzibar", numbers(mean)]) == []
    assert check(memory).faults == ()


@pytest.mark.parametrize("user_id", ["3", "1", "ayer", "e", "ocke", "{"])
def test_a_short_id_is_not_taken_for_a_part_of_other_settings(memory: Memory, user_id: str) -> None:
    memory.users.add(user_id)
    given = {"layer": 3, "student": "pocket", "layers": [1, 3], "simulated": True}
    basis = memory.put_blob("basis", b"12", {"student_fingerprint": FINGERPRINT})
    memory.users.pool(basis, [], kind="basis", settings=given)
    memory.users.forget(user_id)
    found = memory.users.pooled("basis", FINGERPRINT)
    assert found is not None and not found.stale and found.settings == given


@pytest.mark.parametrize("user_id", ["anna", 'a"na', "änna"])
@pytest.mark.parametrize("named", [{"%s": 1}, {"without": ["%s"]}, {"without": {"id": "%s"}}])
def test_no_settings_name_the_user_also_of_pools_of_others(
    memory: Memory, path: Path, cast: dict[str, list[str]], user_id: str, named: dict[str, Any]
) -> None:
    memory.users.add(user_id)
    basis = memory.put_blob("basis", b"12", {"student_fingerprint": FINGERPRINT})
    escaped = json.dumps(user_id, ensure_ascii=False)[1:-1]
    settings = json.loads(json.dumps(named).replace("%s", json.dumps(user_id)[1:-1]))
    memory.users.pool(basis, ["bert"], kind="basis", settings=settings)
    memory.users.forget(user_id)
    found = memory.users.pooled("basis", FINGERPRINT)
    assert found is not None and not found.stale and found.settings == {}
    assert traces(path.parent, [escaped]) == []


def test_words_about_the_user_go_from_what_was_pooled_from_them(
    memory: Memory, path: Path, cast: dict[str, list[str]]
) -> None:
    memory.put_vector(direction(1))
    memory.users.pool(
        direction(1).id,
        ["anna", "bert"],
        kind="population",
        settings={"note": "mostly anna's words"},
    )
    memory.users.forget("anna")
    assert traces(path.parent, ["anna"]) == []


def test_versions_that_were_read_off_what_is_pooled_are_told(
    memory: Memory, cast: dict[str, list[str]]
) -> None:
    """What was learned of many users is a setting of theirs, and no parent."""
    learned = memory.put_blob("user_encoder", b"12", {"student_fingerprint": FINGERPRINT})
    memory.users.pool(learned, ["anna", "bert"], kind="user_encoder", settings={})
    alone = memory.put_blob("user_encoder", b"13", {"student_fingerprint": FINGERPRINT})
    memory.users.pool(alone, ["bert"], kind="user_encoder", settings={})
    versions = {}
    for user_id in ("anna", "bert"):
        for name in (learned, alone):
            vector = direction(len(versions))
            memory.put_vector(vector)
            versions[user_id, name] = memory.users.put_vector(
                user_id,
                vector.id,
                method="predictive",
                settings={"encoder": name},
                **{"plan": {"vector": vector.id}, "evidence": cast[user_id], "scores": {}},
            )
    touched = (versions["bert", learned].id,)
    assert memory.users.consent("anna", True) == ()
    assert memory.users.consent("anna", False) == touched
    assert memory.users.forget("anna").touched == touched
    assert memory.users.consent("bert", False) == ()


def test_many_words_leave_no_trace_in_the_index(
    memory: Memory, path: Path, cast: dict[str, list[str]], live: Live
) -> None:
    words = [f"qq{chr(97 + n % 26) * 3}{n}" for n in range(60)]
    with memory.connection.write():
        for n, word in enumerate(words):
            live(f"sound {word}", direction(100 + n), user_id="anna" if n % 2 else None)
    memory.users.forget("anna")
    assert traces(path.parent, words[1::2]) == []
    for word in words[::2]:
        assert len(search(memory, word)) == 2  # goal and reason
    assert check(memory).faults == ()


def test_a_second_user_of_a_run_keeps_it_no_longer(
    memory: Memory, cast: dict[str, list[str]], live: Live
) -> None:
    run = live("sound like both", direction(1), user_id="anna")
    memory.connection.db.execute("INSERT INTO run_users VALUES (?, 'bert')", [run.id])
    memory.users.forget("anna")
    assert memory.runs.all() == []
    assert memory.users.get("bert").counts == {"message": 2}


def test_a_kill_before_the_rows_go_leaves_the_user_to_be_forgotten_again(
    memory: Memory, path: Path, cast: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(memory, "anna", direction(1), cast["anna"])
    before = rows(memory)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "erase", killed)
        with pytest.raises(KeyboardInterrupt):
            memory.users.forget("anna")
    assert rows(memory) == before
    memory.users.forget("anna")
    assert traces(path.parent, ["anna", "zanzibar"]) == []


def test_a_reader_elsewhere_is_told_of(
    memory: Memory, path: Path, cast: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.connection.db.execute("PRAGMA busy_timeout = 50").fetchall()
    with sqlite3.connect(path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM users").fetchall()
        [sentence] = memory.users.forget("anna").remains
        assert "in use by another process" in sentence
        reader.execute("COMMIT")
    reader.close()
    memory.close()
    assert traces(path.parent, ["anna", "zanzibar"]) == []
