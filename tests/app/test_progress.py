"""What the display makes of a run's events."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from selfsteer.agents.loop import run_goal
from selfsteer.agents.types import CandidateResult, Thresholds
from selfsteer.app.progress import STAGES, Display, Tracker, describe, line, workload
from selfsteer.memory.records import Event
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import GOAL, Scripted, settings

BEST = {"site": "start", "layer": 1, "operator": "add", "strength": 0.5, "steerability": 0.7}
BEST |= {"coherence": 1.1, "broken": 0.02, "repetition": 0.1, "n": 12}
FIRST = [
    ("started", {"run": "r", "goal": "g"}),
    ("proposed", {"round": 0, "samples": 40, "positive": ["g"]}),
    ("collected", {"round": 0, "pairs": 30}),
    ("extracted", {"round": 0}),
    ("search_space", {"round": 0, "trials": 20}),
    ("evaluated", {"round": 0, "stage": "search", "candidates": 10, "best": BEST}),
    ("evaluated", {"round": 0, "stage": "search", "candidates": 10, "best": BEST}),
    ("evaluated", {"round": 0, "stage": "refine", "candidates": 9, "best": BEST}),
    ("evaluated", {"round": 0, "stage": "finalists", "candidates": 4, "best": BEST}),
]
SECOND = [(kind, {**payload, "round": 1}) for kind, payload in FIRST[1:]]
LAST: list[tuple[str, dict[str, Any]]] = [
    ("reflected", {"round": 1, "action": "confirm"}),
    ("confirmed", {"split": "confirmation"}),
    ("verdict", {"status": "accepted", "vector_id": "v", "recalled": None}),
    ("reported", {"n": 434}),
]


def tracker() -> Tracker:
    return Tracker(workload(settings()), Thresholds())


def test_the_work_of_a_round_is_counted_in_replies() -> None:
    work = workload(settings())
    assert set(work) == {*STAGES, "trial"}
    assert all(replies > 0 for replies in work.values())
    effort = settings().effort.model_copy(update={"report_samples": 0})
    assert workload(settings(effort=effort))["report"] == 0


def test_what_is_left_shrinks_to_nothing() -> None:
    told = tracker()
    left = [told.left]
    for kind, payload in [*FIRST, *LAST]:
        told.tell(kind, payload)
        left.append(told.left)
    assert left[1:] == sorted(left[1:], reverse=True)
    assert left[-1] == 0
    assert told.seconds_left(60.0) == 0


def test_another_round_adds_its_work() -> None:
    told = tracker()
    for kind, payload in [*FIRST, ("reflected", {"round": 0, "action": "revise_data"})]:
        told.tell(kind, payload)
    before = told.left
    told.tell("proposed", {"round": 1, "samples": 80, "positive": ["g"]})
    assert told.left > before
    assert told.round == 2
    assert told.tried == 0
    for kind, payload in [*SECOND[1:], *LAST]:
        told.tell(kind, payload)
    assert told.left == 0


def test_the_estimate_is_in_proportion() -> None:
    told = tracker()
    assert told.seconds_left(10.0) is None
    for kind, payload in FIRST[:4]:
        told.tell(kind, payload)
    assert told.seconds_left(10.0) == pytest.approx(10.0 / told.done * told.left)


def test_the_search_is_followed() -> None:
    told = tracker()
    for kind, payload in FIRST[:6]:
        told.tell(kind, payload)
    assert (told.tried, told.trials, told.best) == (10, 20, CandidateResult.model_validate(BEST))
    assert told.busy == "searching"
    told.tell(*FIRST[6])
    assert told.busy == "looking at the best more closely"
    told.tell(*FIRST[7])
    assert told.busy == "looking at the finalists again"


def test_steering_at_the_cost_of_language_is_not_the_best() -> None:
    told = tracker()
    for kind, payload in FIRST[:6]:
        told.tell(kind, payload)
    nonsense = {**BEST, "steerability": 1.0, "coherence": 700.0}
    told.tell("evaluated", {"round": 0, "stage": "search", "candidates": 1, "best": nonsense})
    assert told.best == CandidateResult.model_validate(BEST)


def test_pairs_that_were_given_cost_nothing() -> None:
    told = tracker()
    told.tell("proposed", {"round": 0, "samples": 40, "positive": []})
    told.tell("extracted", {"round": 0})
    told.tell("search_space", {"round": 0, "trials": 20})
    assert told.done == 0
    assert told.replies["search"] == 20 * told.replies["trial"]


def test_a_composition_is_confirmed_as_a_plan_of_its_own_and_gets_a_report() -> None:
    told = tracker()
    told.tell("composed", {"runs": ["a", "b"]})
    assert told.busy == "confirming remembered vectors together"
    assert told.left == told.replies["confirm"] + told.replies["report"]
    told.tell("confirmed", {"split": "recall", "composed": ["a", "b"]})
    assert told.left == told.replies["report"]
    told.tell("verdict", {"vector_id": "v", "recalled": None})
    told.tell("reported", {})
    assert told.left == 0


def test_a_recalled_vector_needs_neither_search_nor_report() -> None:
    told = tracker()
    told.tell("recalled", {"goal": "g"})
    assert 0 < told.left < told.replies["confirm"]
    told.tell("confirmed", {"split": "recall"})
    assert told.left == 0
    assert told.done > 0
    told.tell("verdict", {"status": "accepted", "vector_id": "v", "recalled": "r"})
    assert (told.left, told.busy) == (0, "done")


def test_a_recalled_vector_that_no_longer_holds_starts_the_loop() -> None:
    told = tracker()
    told.tell("recalled", {"goal": "g"})
    told.tell("confirmed", {"split": "recall"})
    before = told.done
    for kind, payload in FIRST[1:3]:
        told.tell(kind, payload)
    assert told.left > told.replies["search"]
    assert told.done == before + told.replies["collect"]


def test_a_run_that_chose_nothing_opens_no_report() -> None:
    told = tracker()
    for kind, payload in [*FIRST, ("reflected", {"round": 0, "action": "give_up"})]:
        told.tell(kind, payload)
    told.tell("verdict", {"status": "rejected"})
    assert (told.left, told.busy) == (0, "done")


def test_a_resumed_run_is_shown_from_where_it_is() -> None:
    stream = io.StringIO()
    display = Display(Console(file=stream, force_terminal=False), "g", settings())
    display.catch_up(
        [
            Event(run_id="r", sequence=n, kind=kind, payload=payload, time="t")
            for n, (kind, payload) in enumerate(FIRST[:6])
        ]
    )
    told, whole = display._tracker, tracker()
    for kind, payload in FIRST[:6]:
        whole.tell(kind, payload)
    assert (told.round, told.tried, told.left, told.best) == (1, 10, whole.left, whole.best)
    # What an earlier process did says nothing of how fast this one is.
    assert told.seconds_left(60.0) is None
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("action", "more"), [("confirm", True), ("give_up", False)])
def test_a_budget_that_ran_out_leaves_the_confirmation_or_nothing(action: str, more: bool) -> None:
    told = tracker()
    for kind, payload in [*FIRST[:6], ("ran_out", {"action": action, "reason": "r"})]:
        told.tell(kind, payload)
    assert told.left == (told.replies["confirm"] + told.replies["report"] if more else 0)


def test_a_candidate_is_described_with_its_site() -> None:
    assert describe(CandidateResult.model_validate(BEST)).startswith("start, layer 1, add 0.50: ")


@given(st.text(min_size=1), st.dictionaries(st.text(), st.text() | st.floats() | st.integers()))
def test_an_event_is_one_line_whatever_it_says(kind: str, payload: Mapping[str, Any]) -> None:
    written = line(kind, payload)
    assert len(written.splitlines()) == 1
    assert written.isprintable() or "\t" in written


def watch_a_run(talker: Student, memory: Memory, *, terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, height=30)
    with Display(console, "[goal]", settings()) as display:
        run_goal(talker, Scripted(), memory, settings(), listener=display)
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_events_are_lines(
    talker: Student, memory: Memory, few_probes: object
) -> None:
    written = watch_a_run(talker, memory, terminal=False)
    kinds = [row.split()[1] for row in written.splitlines()]
    assert kinds[0] == "started:"
    assert kinds[-1] == "reported:"
    assert "\x1b" not in written


def test_a_terminal_shows_goal_candidates_and_best(
    talker: Student, memory: Memory, few_probes: object
) -> None:
    written = watch_a_run(talker, memory, terminal=True)
    assert "[goal]" in written
    assert "round 1" in written
    assert re.search(r"best so far: (reply|lead|opening|start), layer \d, add", written)
    assert GOAL not in written  # the events' own lines are not printed beside the panel
