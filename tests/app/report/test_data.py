"""What a report gathers is what memory holds."""

from __future__ import annotations

import pytest

from selfsteer.app.report import data as module
from selfsteer.app.report.data import Check, gather, report_replies, tried
from selfsteer.memory.export import events_file
from selfsteer.memory.ledger import Ledger
from selfsteer.memory.records import Candidate, Event, Run
from selfsteer.memory.runs import Runs
from selfsteer.memory.store import Memory


def candidate(
    number: int, strength: float, n: int, round_: int = 0, selector: str = "all"
) -> Candidate:
    edit = {"layers": [1], "strength": strength, "operator": "add", "selector": selector}
    return Candidate(
        run_id="r", round=round_, split="development", number=number, plan={"edits": [edit]}, n=n
    )


def test_of_a_plan_that_was_tried_twice_the_longer_look_counts() -> None:
    rows = [candidate(0, 0.5, 12), candidate(1, 0.7, 12), candidate(2, 0.5, 96)]
    assert [(c.number, c.n) for c in tried(rows)] == [(2, 96), (1, 12)]


def test_the_same_plan_in_another_round_is_another() -> None:
    assert len(tried([candidate(0, 0.5, 12), candidate(0, 0.5, 12, round_=1)])) == 2


def test_the_same_plan_at_another_site_is_another() -> None:
    assert len(tried([candidate(0, 0.5, 12), candidate(1, 0.5, 12, selector="last")])) == 2


def test_the_arms_of_the_report_are_told_apart(memory: Memory, accepted: Run) -> None:
    replies = report_replies(memory, accepted.id)
    assert replies is not None
    assert set(replies.arms) == {"base", "steered", "prompt_only"}
    rows = memory.runs.candidates(accepted.id, "report")
    assert {len(arm) for arm in replies.arms.values()} == {rows[0].n}
    stored = memory.get_generations(str(rows[0].generations_id))
    # The loop samples the untouched student first.
    assert replies.arms["base"] == [row["reply"] for row in stored if row["arm"] == 0]
    assert replies.arms["steered"] == [row["reply"] for row in stored if row["arm"] == 1]
    assert len(replies.firsts) == len({row["prompt"]["messages"][0]["content"] for row in stored})


def test_the_file_of_events_has_all_that_a_report_wants_of_the_tables(
    memory: Memory, accepted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What other programs are given is what the report is made of; texts are artefacts."""
    expected = gather(memory, accepted.id)

    def closed(*_: object, **__: object) -> None:
        raise AssertionError("a table was read")

    lines = events_file(memory, accepted.id).read_text(encoding="utf-8").splitlines()
    read = [Event.model_validate_json(line) for line in lines]
    monkeypatch.setattr(module, "history", lambda *_: read)
    for name in ("events", "candidates", "rounds"):
        monkeypatch.setattr(Runs, name, closed)
    monkeypatch.setattr(Ledger, "paid", closed)
    found = gather(memory, accepted.id)
    assert found.judged == expected.judged != []
    assert found.samples == expected.samples is not None
    assert found.costs == expected.costs
    assert found.rounds[0].candidates == expected.rounds[0].candidates != []


def test_report_probes_that_are_closed_give_nothing(memory: Memory, hostile: Run) -> None:
    assert report_replies(memory, hostile.id) is None


def test_a_rejected_run_shows_its_best_candidate(memory: Memory, hostile: Run) -> None:
    samples = gather(memory, hostile.id).samples
    assert samples is not None
    assert samples.split == "development"
    rows = tried(memory.runs.candidates(hostile.id, "development"))
    best = max(rows, key=lambda c: (c.n, c.steerability or 0.0))
    stored = memory.get_generations(str(best.generations_id))
    number = best.number - min(
        c.number
        for c in memory.runs.candidates(hostile.id, "development")
        if c.generations_id == best.generations_id
    )
    assert samples.arms["steered"] == [row["reply"] for row in stored if row["arm"] == number]


def test_a_run_that_was_recalled_shows_the_recall_probes(memory: Memory, recalled: Run) -> None:
    data = gather(memory, recalled.id)
    assert [event.kind for event in data.notices] == ["recalled"]
    assert data.rounds == []
    assert data.samples is not None
    assert data.samples.split == "recall"
    (judged,) = data.judged
    assert judged.details["recalled"] is True


def test_costs_count_what_memory_keeps_and_what_the_verdict_says(
    memory: Memory, accepted: Run
) -> None:
    costs = gather(memory, accepted.id).costs
    ids = {c.generations_id for c in memory.runs.candidates(accepted.id)}
    rows = [row for name in ids for row in memory.get_generations(str(name))]
    assert costs.replies == len(rows)
    assert costs.tokens == sum(len(row["ids"]) for row in rows)
    assert costs.rounds == 1
    assert costs.seconds == accepted.seconds
    assert costs.spent is not None
    looks = [c for c in memory.runs.candidates(accepted.id) if c.split != "report"]
    assert costs.evaluations == costs.spent.candidates == len(looks)
    assert 0 < costs.spent.minutes <= accepted.seconds / 60
    # The pairs were generated too, and are not kept as replies.
    report = memory.runs.candidates(accepted.id, "report")[0].generations_id
    opened = sum(len(row["ids"]) for row in memory.get_generations(str(report)))
    assert costs.spent.generated_tokens > costs.tokens - opened


def test_without_a_verdict_costs_are_those_of_what_was_kept(memory: Memory) -> None:
    wanted: dict[str, object] = {"goal": {"text": "g"}}
    run = memory.runs.start(
        "g", student="s", fingerprint="f", controller="self", seed=0, settings=wanted
    )
    memory.runs.add_candidates([candidate(0, 0.5, 12).model_copy(update={"run_id": run.id})])
    costs = gather(memory, run.id).costs
    assert (costs.spent, costs.evaluations, costs.tokens) == (None, 1, 0)


@pytest.mark.parametrize(
    ("value", "sign", "met"),
    [(0.9, "≥", True), (0.8, "≥", False), (0.9, "≤", False), (0.85, "≤", True), (None, "≥", None)],
)
def test_checks(value: float | None, sign: str, met: bool | None) -> None:
    assert Check("c", value, sign, 0.85).met is met  # type: ignore[arg-type]
