"""How far a run has come, told from its events.

What is left is counted in replies that the student still has to give, and priced at what a reply
has cost so far; rounds that may yet become necessary are not foreseen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from selfsteer.agents.optimise import DOSES_BESIDE
from selfsteer.agents.policy import utility
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.stages import LAST_LOOKS
from selfsteer.agents.types import CandidateResult, ContrastiveSpec, SearchSpace, Thresholds
from selfsteer.app.output import clean, literal, place
from selfsteer.memory.records import Event

STAGES = ("collect", "search", "refine", "finalists", "confirm", "report")
# Other events change what is expected, but nobody has replied in between.
_FINISHES_WORK = ("collected", "evaluated", "confirmed", "reported")
_RECALL_SHARE = 0.5  # of the replies of a confirmation

# What the loop is busy with once an event has been told.
_BUSY = {
    "started": "looking into the memory",
    "stale_vector": "looking into the memory",
    "recalled": "confirming the remembered vector",
    "composed": "confirming remembered vectors together",
    "proposed": "collecting pairs",
    "collected": "extracting a vector",
    "extracted": "choosing where to search",
    "search_space": "searching",
    "evaluated": "searching",
    "ran_out": "ending the search",
    "waiting": "waiting for approval",
    "answered": "going on",
    "confirmed": "recording the verdict",
    "verdict": "opening the report probes",
    "reported": "done",
    "report_left_out": "done",
}


def workload(settings: RunSettings) -> dict[str, float]:
    """Replies that each stage of one round asks for, as far as the settings tell.

    A `trial` of the search is listed beside the stages.
    """
    effort, probes = settings.effort, deal_probes(settings.seed)
    trials = int(SearchSpace.model_fields["trials"].default)
    samples = int(ContrastiveSpec.model_fields["samples"].default)
    per_prompt = math.ceil(effort.report_samples / len(probes.report))
    return {
        "collect": 2 * samples,
        "trial": effort.development_prompts,
        "search": trials * effort.development_prompts,
        "refine": (effort.refined * len(DOSES_BESIDE) + 1) * len(probes.development),
        "finalists": (effort.finalists + 1) * len(probes.development) * effort.finalist_samples,
        "confirm": 2 * len(probes.confirmation) * effort.confirmation_samples,
        "report": 3 * len(probes.report) * per_prompt,
    }


@dataclass
class Tracker:
    """What the events so far say about a run.

    Attributes:
        replies: as `workload` gives them; corrected by what the events say.
        thresholds: what makes one candidate better than another.
        busy: what the loop is doing.
        round: number of the round, from 1; 0 before the first.
        tried, trials: candidates of this round's search, and how many it may have.
        best: the best candidate so far.
        done: replies that were given.
        left: replies that are still expected.
    """

    replies: dict[str, float]
    thresholds: Thresholds
    busy: str = "starting"
    round: int = 0
    tried: int = 0
    trials: int = 0
    best: CandidateResult | None = None
    done: float = 0.0
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self._from("collect")

    def tell(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Take in an event."""
        before = self.left
        self.busy = _BUSY.get(kind, self.busy)
        update = getattr(self, f"_on_{kind}", None)
        if update is not None:
            update(payload)
        if kind in _FINISHES_WORK:
            self.done += before - self.left

    def seconds_left(self, elapsed: float) -> float | None:
        """An estimate; None before anything was done."""
        return elapsed / self.done * self.left if self.done else None

    def _on_recalled(self, payload: Mapping[str, Any]) -> None:
        self.left = self.replies["confirm"] * _RECALL_SHARE

    def _on_composed(self, payload: Mapping[str, Any]) -> None:
        self.left = self._from("confirm")

    def _on_proposed(self, payload: Mapping[str, Any]) -> None:
        self.round, self.tried, self.trials = payload["round"] + 1, 0, 0
        # Nobody is told anything where the pairs were given: nothing is sampled.
        self.replies["collect"] = 2.0 * payload["samples"] if payload["positive"] else 0.0
        self.left = self._from("collect")

    def _on_collected(self, payload: Mapping[str, Any]) -> None:
        self.left = self._from("search")

    def _on_search_space(self, payload: Mapping[str, Any]) -> None:
        self.trials = payload["trials"]
        self.replies["search"] = self.trials * self.replies["trial"]
        self.left = self._from("search")

    def _on_evaluated(self, payload: Mapping[str, Any]) -> None:
        self.tried += payload["candidates"]
        found = CandidateResult.model_validate(payload["best"])
        if self.best is None or self._worth(found) >= self._worth(self.best):
            self.best = found
        if payload["stage"] == "refine":
            self.busy = "looking at the finalists again"
            self.left = self._from("finalists")
            return
        if payload["stage"] in LAST_LOOKS:
            ends = payload["stage"] == "recheck"
            self.busy = "looking back on the round" + ("" if ends else ", or once more")
            self.left = self._from("confirm")
            return
        rest = max(0.0, 1 - self.tried / max(1, self.trials))
        self.busy = "searching" if rest else "looking at the best more closely"
        self.left = self.replies["search"] * rest + self._from("refine")

    def _on_reflected(self, payload: Mapping[str, Any]) -> None:
        confirms = payload["action"] == "confirm"
        self.busy = "confirming" if confirms else "thinking again"
        self.left = self._from("confirm")

    def _on_ran_out(self, payload: Mapping[str, Any]) -> None:
        self.left = self._from("confirm") if payload["action"] == "confirm" else 0.0

    def _on_confirmed(self, payload: Mapping[str, Any]) -> None:
        # A recalled vector has its report; where it no longer holds, `proposed` sets this anew.
        again = payload["split"] == "recall" and not payload.get("composed")
        self.left = 0.0 if again else self._from("report")

    def _on_verdict(self, payload: Mapping[str, Any]) -> None:
        if payload.get("recalled") or "vector_id" not in payload:
            self.busy, self.left = "done", 0.0

    def _on_reported(self, payload: Mapping[str, Any]) -> None:
        self.left = 0.0

    _on_report_left_out = _on_reported

    def _worth(self, result: CandidateResult) -> float:
        return utility(result, self.thresholds)

    def _from(self, stage: str) -> float:
        return sum(self.replies[name] for name in STAGES[STAGES.index(stage) :])


def line(kind: str, payload: Mapping[str, Any]) -> str:
    """An event as a line of plain text, for logs."""
    shown = [f"{key}={_short(value)}" for key, value in payload.items() if _is_short(value)]
    return clean(f"{kind}: {' '.join(shown)}").replace("\n", " ")


def _is_short(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def describe(best: CandidateResult) -> str:
    """A candidate and its figures in a few words."""
    return (
        f"{place(best.site, best.layer, best.operator, best.strength)}: "
        f"steerability {best.steerability:.2f}, coherence {best.coherence:.2f}, "
        f"broken {best.broken:.2f}"
    )


class Display:
    """Shows a run while it goes on: a live panel on a terminal, a line for each event elsewhere.

    Use it as a context manager, and hand it to the loop as its listener.
    """

    def __init__(self, console: Console, title: str, settings: RunSettings) -> None:
        self._console = console
        self._title = title
        self._tracker = Tracker(workload(settings), settings.goal.thresholds)
        self._began = time.monotonic()
        self._told = 0.0
        self._spinner = Spinner("dots")
        self._live = Live(
            get_renderable=self.render, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def catch_up(self, events: Sequence[Event]) -> None:
        """Take in what a resumed run has told before; its replies cost this process no time."""
        for event in events:
            self._tracker.tell(event.kind, event.payload)
        self._tracker.done = 0.0

    def __call__(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Take in an event and print it; the signature is that of the loop's listeners."""
        self.take_in(kind, payload)
        if not self._console.is_terminal:
            said = literal(f"{self._told:7.1f}s {line(kind, payload)}")
            self._console.print(said, soft_wrap=True)

    def take_in(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Follow an event, and print nothing."""
        self._tracker.tell(kind, payload)
        self._told = time.monotonic() - self._began

    def render(self) -> RenderableType:
        """The panel of the run as it stands."""
        tracker, elapsed = self._tracker, time.monotonic() - self._began
        self._spinner.text = literal(f"{self._title}\n{_where(tracker)}")
        left = tracker.seconds_left(self._told)
        rest = "" if left is None else f", about {max(0.0, left - elapsed + self._told):.0f} s left"
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=tracker.done + tracker.left, completed=tracker.done, width=40)
        grid.add_row(bar, literal(f"{elapsed:.0f} s{rest}"))
        best = [] if tracker.best is None else [literal(f"  best so far: {describe(tracker.best)}")]
        return Group(self._spinner, grid, *best)


def _where(tracker: Tracker) -> str:
    """What goes on, in which round, and how far the search has come."""
    parts = [tracker.busy]
    if tracker.round:
        parts.append(f"round {tracker.round}")
    if tracker.trials:
        parts.append(f"candidates tried: {tracker.tried}")
    return ", ".join(parts)
