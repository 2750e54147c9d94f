"""What a run can tell: one type a kind. Every event is one of these when it is written.

Memory's history is the one truth; what is shown, exported or reported is read from there. Two kinds
of event are never written as such: candidates and rounds have tables of their own, from which
`memory.history` tells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter

from selfsteer.agents.approval import Answer, Asked
from selfsteer.agents.budget import Spent
from selfsteer.agents.steps import Step
from selfsteer.agents.types import (
    CandidateResult,
    Decision,
    Rate,
    Record,
    SearchSpace,
    SiteEvidence,
)
from selfsteer.memory.records import Arm, Split
from selfsteer.memory.store import Memory


class Started(Record):
    """A run began."""

    kind: Literal["started"]
    run: str
    goal: str


class Inputs(Record):
    """Where the parties of a run come from, so that it can be resumed without being told."""

    kind: Literal["inputs"]
    student: str
    device: str
    dtype: str
    dataset_id: str | None
    capability_id: str | None
    who: dict[str, JsonValue] = Field(default={})


class StaleVector(Record):
    """Memory has a vector for the goal that belongs to another student."""

    kind: Literal["stale_vector"]
    vector: str
    goal: str


class Recalled(Record):
    """A remembered plan is tried; `run` is the one that met `goal` with it. It steers in one way,
    or has `edits`. Where it was found by meaning, `cosine` says how alike the two goals are."""

    kind: Literal["recalled"]
    goal: str
    run: str
    site: str | None = None
    layer: int | None = None
    operator: str | None = None
    strength: float | None = None
    edits: list[Step] = Field(default=[])
    cosine: float | None = None


class Composed(Record):
    """Remembered plans are tried together; `runs` are those that met `goals` with them."""

    kind: Literal["composed"]
    goals: list[str]
    runs: list[str]
    edits: list[Step]
    reason: str


class Proposed(Record):
    """The controller said how to make the contrast; `part` is that of a goal that was split."""

    kind: Literal["proposed"]
    round: int
    part: str = ""
    positive: list[str]
    negative: list[str]
    samples: int
    questions: int = 0
    rubric: str = ""
    reason: str


class Collected(Record):
    """Pairs were sampled; `dataset` is None where too few were kept."""

    kind: Literal["collected"]
    round: int
    pairs: int
    sampled: int
    positive_kept: int
    negative_kept: int
    dataset: str | None


class Extracted(Record):
    """Vectors were made, by site, and what is known of each layer; `further` has those of the other
    parts of a goal that was split."""

    kind: Literal["extracted"]
    round: int
    vectors: dict[str, str]
    further: list[dict[str, str]] = Field(default=[])
    method: str
    evidence: list[SiteEvidence]


class SearchSpaceChosen(SearchSpace):
    """The controller said where to search."""

    kind: Literal["search_space"]
    round: int


class Evaluated(Record):
    """A batch of candidates was judged."""

    kind: Literal["evaluated"]
    round: int
    stage: Literal["search", "refine", "finalists", "polish", "recheck"]
    candidates: int
    best: CandidateResult


class CandidateOnRecord(Record):
    """A plan with what it scored on the probes of one split; `generations_id` names the replies."""

    kind: Literal["candidate"]
    round: int
    split: Split
    number: int
    arm: Arm
    plan: dict[str, JsonValue]
    steerability: float | None
    coherence: float | None
    retention: float | None
    n: int
    details: dict[str, JsonValue]
    generations_id: str | None


class RoundOnRecord(Record):
    """A round ended: with these data, this vector, and this decision."""

    kind: Literal["round"]
    number: int
    dataset_id: str | None
    vector_id: str | None
    decision: str
    reason: str
    details: dict[str, JsonValue]


class Reflected(Decision):
    """The controller said what comes next."""

    kind: Literal["reflected"]
    round: int


class RanOut(Decision):
    """A limit of the budget, or rounds that brought nothing, ended the search."""

    kind: Literal["ran_out"]


class Waiting(Asked):
    """The run waits for a person."""

    kind: Literal["waiting"]


class Answered(Answer):
    """The person answered."""

    kind: Literal["answered"]


class Concluded(Record):
    """What confirmation probes said of a plan; nothing but a reason where there was no plan.

    A plan that is `composed` names the runs whose plans it is made of. Where a plan steers in more
    than one way, `edits` say how, and neither site nor layer, operator or strength is there.
    """

    status: Literal["accepted", "rejected"]
    reason: str
    vector_id: str | None = None
    further: list[str] = Field(default=[])
    recalled: str | None = None
    composed: list[str] = Field(default=[])
    site: str | None = None
    layer: int | None = None
    operator: str | None = None
    strength: float | None = None
    edits: list[Step] = Field(default=[])
    steerability: Rate | None = None
    coherence: float | None = None
    broken: Rate | None = None
    repetition: Rate | None = None
    retention: float | None = None
    n: int | None = None
    interval: list[float] | None = None


class Confirmed(Concluded):
    """The one look at probes that chose nothing."""

    kind: Literal["confirmed"]
    split: Literal["recall", "confirmation"]


class VerdictStored(Concluded):
    """The run's conclusion, with what it has spent up to there; `exact` unless a paid call counts
    at the most that it may have cost."""

    kind: Literal["verdict"]
    spent: Spent
    exact: bool = True


class Reported(Record):
    """Mean scores of the three arms on report probes, over `n` replies each."""

    kind: Literal["reported"]
    base: Rate
    prompt_only: Rate
    steered: Rate
    n: int


class ArmFigures(Record):
    """One arm of an evolution after a generation.

    Attributes:
        individual, vector: the fittest, and its vector.
        best, median: fitness, each the mean of all looks at an individual.
        steerability: of the fittest, in this generation's look.
        diversity: mean of 1 - cosine over pairs of vectors; 0 where all are the same.
        drift: mean cosine to each founder, by its id.
    """

    individual: str
    vector: str
    best: float
    median: float
    steerability: Rate
    diversity: float
    drift: dict[str, float]


class Generation(Record):
    """A generation of an evolution was judged; `round` 0 are the founders, in both arms."""

    kind: Literal["generation"]
    round: int
    candidates: int
    evolved: ArmFigures
    random: ArmFigures


class FinalistsSeen(Record):
    """The finalists of an evolution were judged: the names of the champions, by group."""

    kind: Literal["finalists"]
    candidates: int
    champions: dict[str, str]


class Compared(Record):
    """The champions of an evolution on report probes, over `n` replies each.

    Attributes:
        steerability: by group: evolved, random, founder.
        difference: of evolution and random search in steerability, with the 95 % bootstrap interval
            over prompts, which both answered.
    """

    kind: Literal["compared"]
    steerability: dict[str, Rate]
    difference: float
    interval: list[float]
    n: int


class ReportLeftOut(Record):
    """The report probes stay closed."""

    kind: Literal["report_left_out"]
    reason: str


RunEvent = Annotated[
    Started
    | Inputs
    | StaleVector
    | Recalled
    | Composed
    | Proposed
    | Collected
    | Extracted
    | SearchSpaceChosen
    | Evaluated
    | CandidateOnRecord
    | RoundOnRecord
    | Reflected
    | RanOut
    | Waiting
    | Answered
    | Confirmed
    | VerdictStored
    | Reported
    | Generation
    | FinalistsSeen
    | Compared
    | ReportLeftOut,
    Field(discriminator="kind"),
]
EVENTS: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)


def record_event(
    memory: Memory, run_id: str, kind: str, payload: Mapping[str, Any], *, key: str
) -> bool:
    """Put an event on record, once for each key.

    Returns:
        whether it is new.

    Raises:
        pydantic.ValidationError: it is no event of that kind, which is a bug.
    """
    event = EVENTS.validate_python({"kind": kind, **payload})
    written = event.model_dump(mode="json", exclude={"kind"}, exclude_unset=True)
    return memory.runs.add_event(run_id, kind, written, key=key)
