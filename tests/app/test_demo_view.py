"""The promises of the demo, and which of them are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from selfsteer.app.demo import DemoResult, GoalOutcome, Rate, RecallOutcome
from selfsteer.app.demo_view import bars, demo_table
from selfsteer.steering.metrics.intervals import wilson


def rate(successes: int) -> Rate:
    return Rate(successes / 100, wilson(successes, 100))


GOOD = GoalOutcome(
    goal="Sound [odd].",
    run_id="r",
    base=rate(60),
    prompt_only=rate(95),
    steered=rate(85),
    accepted=True,
    well_formed=0.90,
    coherence=1.1,
    retention=0.90,
    n=100,
    site="start",
    layer=3,
    strength=1.25,
    operator="add",
    candidates=24,
    seconds=50.0,
)
RECALL = RecallOutcome("Sound [odd].", "r2", True, True, seconds=8.0, first_seconds=40.0)
RESULT = DemoResult((GOOD,) * 4, RECALL, seed=0, seconds=240.0)


def missed(result: DemoResult) -> list[str]:
    return [bar.name for bar in bars(result) if not bar.met]


def test_figures_at_their_limits_keep_them() -> None:
    assert missed(RESULT) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"base": rate(61)}, "base expression"),
        ({"steered": rate(84)}, "steered expression"),
        ({"steered": None}, "steered expression"),
        ({"well_formed": 0.899}, "well-formed"),
        ({"retention": 0.89}, "retention"),
        ({"retention": None}, "retention"),
        ({"accepted": False}, "accepted by the loop"),
    ],
)
def test_one_goal_that_falls_short_is_named(change: dict[str, object], name: str) -> None:
    worse = replace(GOOD, goal="Other.", **change)  # type: ignore[arg-type]
    result = replace(RESULT, goals=(GOOD, GOOD, GOOD, worse))
    assert missed(result) == [f"Other. {name}"]


def test_time_and_recall_have_bars_too() -> None:
    late = replace(RESULT, seconds=241.0)
    assert missed(late) == ["four goals together, seconds"]
    slow = replace(RESULT, recall=replace(RECALL, seconds=8.1))
    assert missed(slow) == ["time of the recall, share of the first time"]
    other = replace(RESULT, recall=replace(RECALL, recalled=False))
    assert missed(other) == ["recalled and accepted from memory"]
    assert len(missed(replace(RESULT, recall=None))) == 2


def test_the_table_fits_eighty_columns_and_shows_every_figure() -> None:
    console = Console(width=80, record=True, file=None)
    with console.capture() as capture:
        console.print(demo_table(replace(RESULT, goals=(GOOD, replace(GOOD, accepted=False)))))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "Sound [odd].",
        "0.85",
        ".77-.91",
        "start",
        "layer 3",
        "add 1.25",
        "24 tried",
        "50.0 s",
        "(rejected)",
        "0.20 of the first",
    ):
        assert part in text, part
