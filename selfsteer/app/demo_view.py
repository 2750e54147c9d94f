"""What the demo promises, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from selfsteer.app.demo import DemoResult, GoalOutcome, Rate
from selfsteer.app.output import DASH, figure, literal, table
from selfsteer.errors import SelfsteerError

BASE_AT_MOST = 0.60
STEERED = 0.85
WELL_FORMED = 0.90
RETENTION = 0.90
SECONDS = 240.0
RECALL_SHARE = 0.2


@dataclass(frozen=True)
class Bar:
    """A figure and its limit.

    Attributes:
        value: None where the loop never came so far, which meets nothing.
        at_least: whether the limit is the least or the greatest value allowed.
    """

    name: str
    value: float | None
    limit: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the figure keeps its limit."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.3f}"
        return f"{self.name}: {value}, {'at least' if self.at_least else 'at most'} {self.limit:g}"


def bars(result: DemoResult) -> list[Bar]:
    """Every promise of the demo with its figure."""
    found = [bar for outcome in result.goals for bar in _of_goal(outcome)]
    recall = result.recall
    kept = recall is not None and recall.accepted and recall.recalled
    return [
        *found,
        Bar("four goals together, seconds", result.seconds, SECONDS, at_least=False),
        Bar("recalled and accepted from memory", float(kept), 1.0),
        Bar(
            "time of the recall, share of the first time",
            None if recall is None else recall.ratio,
            RECALL_SHARE,
            at_least=False,
        ),
    ]


def _of_goal(outcome: GoalOutcome) -> list[Bar]:
    def value(rate: Rate | None) -> float | None:
        return None if rate is None else rate.value

    named = [
        ("base expression", value(outcome.base), BASE_AT_MOST, False),
        ("steered expression", value(outcome.steered), STEERED, True),
        ("well-formed", outcome.well_formed, WELL_FORMED, True),
        ("retention", outcome.retention, RETENTION, True),
        ("accepted by the loop", float(outcome.accepted), 1.0, True),
    ]
    return [
        Bar(f"{outcome.goal} {name}", figures, limit, at_least)
        for name, figures, limit, at_least in named
    ]


def write_bars(path: Path, measured: Sequence[Bar]) -> None:
    """Write the bars as JSON.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    rows = [
        {"name": bar.name, "value": bar.value, "limit": bar.limit, "met": bar.met}
        for bar in measured
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise SelfsteerError(f"The bars cannot be written to {path}: {error.strerror}.") from error


def demo_table(result: DemoResult) -> Table:
    """One row for each goal; under a rate stands its 95 % Wilson interval."""
    figures = (
        *("base", "prompt\nonly", "steered", "well\nformed", "coher-\nence", "reten-\ntion"),
        *("where", "cost"),
    )
    title = f"Report probes, by the oracle (seed {result.seed}, 95 % Wilson intervals)"
    rows = table(title, "goal", *figures, right=figures)
    rows.collapse_padding = True  # so that there is room for the goals on a narrow terminal
    for outcome in result.goals:
        rows.add_row(
            literal(outcome.goal if outcome.accepted else f"{outcome.goal} (rejected)"),
            *(_rate(rate) for rate in (outcome.base, outcome.prompt_only, outcome.steered)),
            *(figure(x) for x in (outcome.well_formed, outcome.coherence, outcome.retention)),
            _where(outcome),
            f"{outcome.candidates} tried\n{outcome.seconds:.1f} s",
        )
    rows.caption_justify = "left"
    rows.caption = literal(_caption(result))
    return rows


def _caption(result: DemoResult) -> str:
    counts = sorted({outcome.n for outcome in result.goals})
    lines = [
        f"n = {', '.join(map(str, counts))} replies of each arm; "
        f"four goals in {result.seconds:.0f} s"
    ]
    if result.recall is not None:
        recall = result.recall
        how = "accepted from memory" if recall.accepted and recall.recalled else "not recalled"
        lines.append(
            f"asked again: {recall.goal} {how} in {recall.seconds:.1f} s, "
            f"{recall.ratio:.2f} of the first time ({recall.first_seconds:.1f} s)"
        )
    return "\n".join(lines)


def _where(outcome: GoalOutcome) -> str:
    if outcome.strength is None:
        return DASH
    return f"{outcome.site}\nlayer {outcome.layer}\n{outcome.operator} {outcome.strength:.2f}"


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return DASH
    low, high = (f"{end:.2f}".removeprefix("0") for end in rate.interval)
    return f"{rate.value:.2f}\n{low}-{high}"
