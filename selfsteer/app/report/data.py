"""What a report shows, gathered from the history of a run and the artefacts that it names.

Nothing is measured or loaded anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from selfsteer.agents.budget import Spent
from selfsteer.agents.context import last_user_turn
from selfsteer.agents.settings import RunSettings, settings_of
from selfsteer.agents.steps import Step, shared, steps_of_verdict
from selfsteer.agents.types import CandidateSpec
from selfsteer.app.output import measured
from selfsteer.errors import MemoryFileError
from selfsteer.memory.history import candidates_of, history, rounds_of
from selfsteer.memory.records import Candidate, Event, Run
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastivePair
from selfsteer.steering.evaluate import PROMPT_ONLY
from selfsteer.steering.prompts import Prompt

_PAIRS_SHOWN = 4
_NOTICES = ("recalled", "composed", "stale_vector", "ran_out", "answered", "report_left_out")
_OF_A_ROUND = ("proposed", "collected", "extracted", "search_space", "evaluated", "reflected")
_REPORT_ARMS = ("base", "steered")  # in the order in which the loop's report node samples them


@dataclass(frozen=True)
class Replies:
    """Replies of several arms to the same prompts.

    Attributes:
        split: the probes that were asked.
        prompts: what the user said, for each reply.
        firsts: positions of the first reply to each prompt.
        arms: the replies, by arm.
        steered_by: the candidate of the steered arm.
    """

    split: str
    prompts: list[str]
    firsts: list[int]
    arms: dict[str, list[str]]
    steered_by: CandidateSpec | None


@dataclass(frozen=True)
class Check:
    """One threshold of the verdict."""

    name: str
    value: float | None
    sign: Literal["≥", "≤"]
    limit: float

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.sign == "≥" else self.value <= self.limit


@dataclass(frozen=True)
class ContrastView:
    """How the pairs of a round, or of one part of its goal, were made.

    Attributes:
        proposed, collected: payloads of the events.
        pairs: some of the pairs that were learned from.
    """

    proposed: Mapping[str, Any]
    collected: Mapping[str, Any]
    pairs: Sequence[ContrastivePair]


@dataclass(frozen=True)
class RoundView:
    """One round, from its events; what it did not come to is missing.

    Attributes:
        contrasts: one, or one for each part of a goal that was split.
        extracted, space, reflected: payloads of the events.
        candidates: what was evaluated, finalists last.
    """

    number: int
    contrasts: Sequence[ContrastView]
    extracted: Mapping[str, Any]
    space: Mapping[str, Any]
    reflected: Mapping[str, Any]
    candidates: Sequence[Candidate]


@dataclass(frozen=True)
class Costs:
    """What a run has used.

    Attributes:
        evaluations: candidates, those that were looked at again counted again.
        replies, tokens: of the replies that memory keeps; those that became pairs are not kept.
        spent: all that was used up to the verdict; None while there is none.
        exact: False where a paid call counts at the most that it may have cost.
        seconds: of the whole run.
    """

    rounds: int
    evaluations: int
    replies: int
    tokens: int
    spent: Spent | None
    exact: bool
    seconds: float


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Attributes:
        steps: what the plan of the verdict does; empty where there is none.
        chosen: the one way in which it steers; None where it has several, or there is none.
    """

    run: Run
    settings: RunSettings
    verdict: Mapping[str, Any]
    checks: Sequence[Check]
    steps: Sequence[Step]
    chosen: CandidateSpec | None
    notices: Sequence[Event]
    rounds: Sequence[RoundView]
    judged: Sequence[Candidate]
    samples: Replies | None
    costs: Costs


def gather(memory: Memory, run_id: str) -> ReportData:
    """Read a run in whatever state it is.

    Raises:
        MemoryFileError: no such run, settings or a verdict that no loop kept, or an artefact of it
            has been altered.
    """
    run = memory.runs.get(run_id)
    settings = settings_of(run, RunSettings)
    verdict: dict[str, Any] = run.verdict or {}
    events = history(memory, run_id)
    candidates = candidates_of(events)
    rounds = _rounds(memory, events, candidates)
    steps = _steps(run)
    return ReportData(
        run=run,
        settings=settings,
        verdict=verdict,
        checks=_checks(settings, verdict),
        steps=steps,
        chosen=shared(steps),
        notices=[event for event in events if event.kind in _NOTICES or _let_down(event)],
        rounds=rounds,
        judged=[c for c in candidates if c.split != "development"],
        samples=_samples(memory, candidates),
        costs=_costs(memory, events, candidates, len(rounds), run.seconds),
    )


def _steps(run: Run) -> Sequence[Step]:
    """What the plan of the verdict does; a run may be told by hand, or come in a bundle."""
    try:
        return steps_of_verdict(run.verdict or {})
    except (LookupError, TypeError, ValueError) as error:
        raise MemoryFileError(
            f"The verdict of run {run.id} names a vector without saying how it steers as a run of "
            "selfsteer does, so it has no page."
        ) from error


def tried(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The different plans of each round; of one that was evaluated twice, the longer look."""
    best: dict[tuple[int, CandidateSpec | None], Candidate] = {}
    for candidate in candidates:
        key = (candidate.round, CandidateSpec.of_plan(candidate.plan))
        if key not in best or candidate.n >= best[key].n:
            best[key] = candidate
    return list(best.values())


def report_replies(memory: Memory, run_id: str) -> Replies | None:
    """The replies to the report probes; None while these are closed."""
    return _report_replies(memory, candidates_of(history(memory, run_id)))


def _report_replies(memory: Memory, candidates: Sequence[Candidate]) -> Replies | None:
    found = {row.arm: row for row in candidates if row.split == "report"}
    if "steered" not in found:
        return None
    return _read(memory, found["steered"], "report", dict(enumerate(_REPORT_ARMS)))


def _let_down(event: Event) -> bool:
    """Whether what memory offered did not meet the goal."""
    said = event.payload
    return event.kind == "confirmed" and (said["split"], said["status"]) == ("recall", "rejected")


def _samples(memory: Memory, candidates: Sequence[Candidate]) -> Replies | None:
    """The replies to show: report probes if they are open, else the best that there is."""
    by_split = {
        split: [c for c in candidates if c.split == split]
        for split in ("report", "confirmation", "development")
    }
    if by_split["report"]:
        return _report_replies(memory, candidates)
    if by_split["confirmation"]:
        last = by_split["confirmation"][-1]
        split = "recall" if last.details.get("recalled") else "confirmation"
        return _read(memory, last, split, {0: "steered"})
    looks = by_split["development"]
    if not looks:
        return None
    best = max(tried(looks), key=lambda c: (c.n, c.steerability or 0.0))
    batch = [c.number for c in looks if c.generations_id == best.generations_id]
    return _read(memory, best, "development", {best.number - min(batch): "steered"})


def _read(
    memory: Memory, steered: Candidate, split: str, names: Mapping[int, str]
) -> Replies | None:
    """The replies beside which a candidate's stand; arms without a name are left out."""
    if steered.generations_id is None:
        return None
    rows = memory.get_generations(steered.generations_id)
    reference = [row for row in rows if row["arm"] == PROMPT_ONLY]
    named: dict[Any, str] = {**names, PROMPT_ONLY: "prompt_only"}
    arms: dict[str, list[str]] = {name: [] for name in named.values()}
    for row in rows:
        if row["arm"] in named:
            arms[named[row["arm"]]].append(row["reply"])
    return Replies(
        split=split,
        prompts=[last_user_turn(Prompt.model_validate(row["prompt"])) for row in reference],
        firsts=[index for index, row in enumerate(reference) if row["sample"] == 0],
        arms=arms,
        steered_by=CandidateSpec.of_plan(steered.plan),
    )


def _checks(settings: RunSettings, verdict: Mapping[str, Any]) -> list[Check]:
    limits = settings.goal.thresholds
    return [
        Check("steerability", measured(verdict, "steerability"), "≥", limits.steerability),
        Check("coherence", measured(verdict, "coherence"), "≤", limits.coherence),
        Check("broken", measured(verdict, "broken"), "≤", limits.broken),
        Check("retention", measured(verdict, "retention"), "≥", limits.retention),
    ]


def _rounds(
    memory: Memory, events: Sequence[Event], candidates: Sequence[Candidate]
) -> list[RoundView]:
    payloads: dict[int, dict[str, list[Mapping[str, Any]]]] = {}
    for event in events:
        number = event.payload.get("round")
        if event.kind in _OF_A_ROUND and isinstance(number, int):
            payloads.setdefault(number, {}).setdefault(event.kind, []).append(event.payload)
    # A dataset that was given is not collected: only the round's record names it.
    given = {turn.number: turn.dataset_id for turn in rounds_of(events)}
    looks = [c for c in candidates if c.split == "development"]
    views = []
    for number, by_kind in sorted(payloads.items()):
        proposed, collected = by_kind.get("proposed", []), by_kind.get("collected", [])
        made = zip_longest(proposed, collected, fillvalue=dict[str, Any]())
        last = {kind: told[-1] for kind, told in by_kind.items()}
        views.append(
            RoundView(
                number=number,
                contrasts=[_contrast(memory, *both, given.get(number)) for both in made],
                extracted=last.get("extracted", {}),
                space=last.get("search_space", {}),
                reflected=last.get("reflected", {}),
                candidates=[look for look in looks if look.round == number],
            )
        )
    return views


def _contrast(
    memory: Memory,
    proposed: Mapping[str, Any],
    collected: Mapping[str, Any],
    given: str | None,
) -> ContrastView:
    dataset_id = collected.get("dataset") or given
    pairs = memory.get_dataset(dataset_id).pairs if dataset_id else ()
    counted = collected or ({"pairs": len(pairs)} if pairs else {})
    return ContrastView(proposed, counted, pairs[:_PAIRS_SHOWN])


def _costs(
    memory: Memory,
    events: Sequence[Event],
    candidates: Sequence[Candidate],
    rounds: int,
    seconds: float,
) -> Costs:
    ids = {c.generations_id for c in candidates if c.generations_id is not None}
    rows = [row for name in sorted(ids) for row in memory.get_generations(name)]
    told = next((e.payload for e in events if e.kind == "verdict"), {})
    spent = Spent.model_validate(told["spent"]) if "spent" in told else None
    kept = sum(c.split != "report" for c in candidates)
    return Costs(
        rounds=rounds,
        evaluations=kept if spent is None else spent.candidates,
        replies=len(rows),
        tokens=sum(len(row["ids"]) for row in rows),
        spent=spent,
        exact=bool(told.get("exact", True)),
        seconds=seconds,
    )
