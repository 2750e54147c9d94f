"""The rows of memory, typed. Times are ISO text in UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue

RunStatus = Literal["running", "waiting", "accepted", "rejected", "failed", "stopped"]
Stretch = Literal["accepted", "rejected", "failed", "stopped", "waiting"]
"""How a stretch of a run ends."""
Split = Literal["development", "confirmation", "report"]
Arm = Literal["steered", "base", "prompt_only"]
LedgerStatus = Literal["sent", "refused", "committed", "parsed"]

# SQLite has no NaN: it would come back as NULL, so it is None from the start.
Measure = Annotated[float | None, AfterValidator(lambda x: None if x != x else x)]


def to_json(value: Any) -> str:
    """The one form in which JSON is stored and hashed: sorted keys, no spaces, finite numbers.

    Raises:
        ValueError, TypeError: not JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


class Record(BaseModel):
    """A row. Fields that hold JSON are stored as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of the table that this record stands for."""
        return cls.model_validate(
            {
                name: json.loads(value) if name in JSON_FIELDS and value is not None else value
                for name, value in row.items()
            }
        )

    def to_row(self) -> dict[str, Any]:
        """The columns of the table that this record stands for."""
        return {
            name: to_json(value) if name in JSON_FIELDS and value is not None else value
            for name, value in self.model_dump().items()
        }


JSON_FIELDS = frozenset(
    """
    meta settings verdict plan details payload scores thresholds request expected usage batch
    """.split()
)


class Artefact(Record):
    """What is known of a stored blob without reading it.

    Attributes:
        id: the name of the content.
        kind: vector, dataset or generations.
        sha256: of the stored bytes.
        size: in bytes.
        meta: what the kind wants to be listed by.
    """

    id: str
    kind: str
    sha256: str
    size: int
    meta: dict[str, JsonValue]
    created: str


class Run(Record):
    """All rounds for one goal.

    Attributes:
        model: that the controller pays for; None where it pays for none.
        verdict: what was concluded, and ``verdict_stored`` when; None while the run is undecided.
        seconds: spent so far, over all stretches of a run that was resumed.
    """

    id: str
    goal: str
    student: str
    fingerprint: str
    controller: str
    model: str | None = None
    seed: int
    settings: dict[str, JsonValue]
    status: RunStatus = "running"
    verdict: dict[str, JsonValue] | None = None
    verdict_stored: str | None = None
    started: str
    finished: str | None = None
    seconds: float = 0.0


class Round(Record):
    """One turn of the loop: the data and the vector it used, the decision it came to, and why.

    Attributes:
        details: evidence per layer, numbers of pairs kept and dropped, and the like.
    """

    run_id: str
    number: int
    dataset_id: str | None = None
    vector_id: str | None = None
    decision: str
    reason: str
    details: dict[str, JsonValue] = {}
    created: str = ""


class Candidate(Record):
    """A plan and what it scored on the probes of one split.

    Attributes:
        number: its place among the candidates of the same run, round, split and arm.
        arm: steered, or what it is compared with.
        plan: as ``Plan.describe`` gives it.
        steerability, coherence, retention: None where not measured.
        n: replies judged.
        details: intervals, repetition and other measures.
        generations_id: the replies.
    """

    run_id: str
    round: int
    split: Split
    number: int
    arm: Arm = "steered"
    plan: dict[str, JsonValue]
    steerability: Measure = None
    coherence: Measure = None
    retention: Measure = None
    n: int
    details: dict[str, JsonValue] = {}
    generations_id: str | None = None
    created: str = ""


class Event(Record):
    """Something that happened in a run.

    Attributes:
        sequence: 1, 2, 3, ... within the run.
        key: names the occasion, so that it is recorded once however often a node runs again.
    """

    run_id: str
    sequence: int
    kind: str
    key: str | None = None
    payload: dict[str, JsonValue]
    time: str


class Remembered(Record):
    """A plan that met a goal.

    Attributes:
        vector_id: the (first) vector of the plan.
        scores: what it scored on confirmation probes.
        fingerprint: of the student that it steers.
        supersedes: the id of the record that this one replaces.
    """

    id: int
    run_id: str
    vector_id: str
    goal: str
    plan: dict[str, JsonValue]
    scores: dict[str, JsonValue]
    fingerprint: str
    supersedes: int | None
    created: str


class Doubt(Record):
    """A run that could not confirm a remembered plan.

    Attributes:
        thresholds: what was asked of it.
        scores: what it scored.
    """

    remembered_id: int
    run_id: str
    thresholds: dict[str, JsonValue]
    scores: dict[str, JsonValue]
    created: str


class RecallHit(BaseModel):
    """A remembered plan that may meet a goal.

    Attributes:
        exact: it met the same goal, but for case, spacing and punctuation.
        score: relevance of the words they share (BM25, more is better); 0 where none is shared.
        coverage: the share of the goal's content words that it has; 1 where exact.
    """

    model_config = ConfigDict(frozen=True)

    remembered: Remembered
    exact: bool
    score: float
    coverage: float


class Alike(BaseModel):
    """A remembered plan whose goal may mean the same as another goal.

    Attributes:
        cosine: of the two goals, by the encoder that was asked.
    """

    model_config = ConfigDict(frozen=True)

    remembered: Remembered
    cosine: float


class Charge(Record):
    """What a call costs, or several of them.

    Attributes:
        tokens: read and written by the paid model, cached ones included.
        cost: in US dollars; None where a price is not known.
        exact: False where it may be less: a call without a count, or without a part of its prices.
    """

    tokens: int = 0
    cost: float | None = 0.0
    exact: bool = True


class Paid(Charge):
    """What a run has spent on paid calls.

    Attributes:
        calls: that were paid, or may have been.
    """

    calls: int = 0


class Batched(BaseModel):
    """Where the answer to a call is found: the id of a batch, the place in it, and its size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    place: int
    count: int


class LedgerEntry(Record):
    """A call that cost, or may have cost, money.

    Attributes:
        status: ``sent`` with no reply on record means that nobody knows whether it was paid;
            ``refused``, that it was not.
        expected: what it may cost at most.
        response: the reply as it came.
        usage: what it did cost; None until the reply was read.
        batch: the batch that it was handed in with; None for a call of its own.
    """

    key: str
    run_id: str
    step: str
    role: str
    attempt: int
    request_hash: str
    request: JsonValue
    expected: Charge
    status: LedgerStatus
    response: str | None
    usage: Charge | None
    sent: str
    committed: str | None
    parsed: str | None
    batch: Batched | None
