"""What passes between the loop and its controllers: typed, bounded, and free of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from selfsteer.agents.sites import SITES
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.evidence import LayerEvidence
from selfsteer.steering.extraction.registry import methods
from selfsteer.steering.operators import OPERATORS

Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Rate = Annotated[float, Field(ge=0, le=1)]
TRIALS = 84  # candidates of a search
MIN_PAIRS = 8  # confirmed ones, below which a round has no data
LONGEST_REASON = 2_000  # characters
LONGEST_INSTRUCTION = 2_100  # characters: the longest goal, and words around it
MOST_SAMPLES = 4_096  # completions for each side of a contrast


class Record(BaseModel):
    """Base of the types: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Thresholds(Record):
    """When a candidate is good enough. The defaults are those of the goal's acceptance.

    Attributes:
        steerability: least mean of the judge on confirmation probes.
        coherence: greatest perplexity ratio against the prompt-only arm's replies.
        broken: greatest share of replies that steering breaks.
        retention: least share of the base model's abilities that is left.
    """

    steerability: Rate = 0.85
    coherence: float = Field(default=1.25, ge=1, le=10)
    broken: Rate = 0.05
    retention: Rate = 0.9

    def at_least(self, other: Thresholds) -> bool:
        """Whether these ask as much as others do, in every respect."""
        return (
            self.steerability >= other.steerability
            and self.coherence <= other.coherence
            and self.broken <= other.broken
            and self.retention >= other.retention
        )


class Goal(Record):
    """What is asked for, in a sentence, and when it counts as reached.

    Attributes:
        rubric: how a judge is to tell; empty leaves it to the sentence.
    """

    text: Text
    thresholds: Thresholds = Thresholds()
    rubric: str = Field(default="", max_length=4_000)

    @field_validator("text")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("a goal needs a sentence, such as 'I want it to sound sad'")
        return text.strip()


class Question(Record):
    """Something that a user may ask; questions of one topic are dealt evenly into the splits."""

    topic: str = Field(min_length=1, max_length=60)
    text: str = Field(min_length=1, max_length=400)


class ContrastiveSpec(Record):
    """How the contrast is to be made: the data, or the recipe for it.

    Attributes:
        positive: system prompts that ask for the goal.
        negative: system prompts of the other side; an empty string means no system prompt.
        dataset: ready pairs, used instead of sampling the student.
        samples: completions to sample for each side.
        questions: what the student is asked; none leaves it to the bundled probes.
        rubric: how the judge is to tell; empty leaves it to the goal.
        reason: why this contrast.
    """

    positive: tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_INSTRUCTION)], ...] = ()
    negative: tuple[Annotated[str, Field(max_length=LONGEST_INSTRUCTION)], ...] = ("",)
    dataset: ContrastiveDataset | None = None
    samples: int = Field(default=96, ge=8, le=MOST_SAMPLES)
    questions: tuple[Question, ...] = Field(default=(), max_length=400)
    rubric: str = Field(default="", max_length=4_000)
    reason: str = Field(default="", max_length=LONGEST_REASON)


def more_samples(first: int, failed: int) -> int:
    """Completions for each side after rounds that failed: twice as many for each, to the limit."""
    return min(first << failed, MOST_SAMPLES)


# What `Edit.describe` says of every edit.
_OF_THE_VECTOR = frozenset({"vector", "concept"})
_TOLD = _OF_THE_VECTOR | {"layers", "strength", "operator", "selector"}


class CandidateSpec(Record):
    """One point of the search: where, how and how strongly; `site` is a name in `SITES`.

    The vectors of a goal that was split all steer so, each with this strength.
    """

    site: str
    layer: int
    operator: str
    strength: float

    @field_validator("site")
    @classmethod
    def _known_site(cls, site: str) -> str:
        if site not in SITES:
            raise ValueError(f"site must be one of {sorted(SITES)}, not {site!r}")
        return site

    @field_validator("operator")
    @classmethod
    def _known(cls, operator: str) -> str:
        if operator not in OPERATORS:
            raise ValueError(f"operator must be one of {sorted(OPERATORS)}, not {operator!r}")
        if 1 not in OPERATORS[operator].vectors:
            raise ValueError(f"operator {operator!r} needs more vectors than a candidate has")
        return operator

    def spec(self) -> CandidateSpec:
        """Where, how and how strongly, and nothing else."""
        return CandidateSpec(**{name: getattr(self, name) for name in CandidateSpec.model_fields})

    @classmethod
    def of_plan(cls, plan: Mapping[str, Any]) -> CandidateSpec | None:
        """Read `Plan.describe`; None for a plan that no loop made: edits that differ in more than
        the vector, other tokens, a gate or whatever else a candidate cannot say."""
        edits = plan["edits"]
        ways = [{k: v for k, v in edit.items() if k not in _OF_THE_VECTOR} for edit in edits]
        if not edits or any(way != ways[0] for way in ways):
            return None
        if len(edits) > 1 and len({edit["vector"] for edit in edits}) < len(edits):
            return None
        edit = edits[0]
        if len(edit["layers"]) != 1 or edit.keys() - _TOLD:
            return None
        site = next((name for name, s in SITES.items() if s.steer == edit["selector"]), None)
        if site is None:
            return None
        return cls(
            site=site,
            layer=edit["layers"][0],
            operator=edit["operator"],
            strength=edit["strength"],
        )


class Measures(Record):
    """What was measured of a plan.

    Attributes:
        steerability: mean of the judge.
        coherence: perplexity ratio.
        broken: share of replies that steering broke.
        repetition: share of repeated n-grams.
        retention: share of abilities left; None where it was not measured at this stage.
        n: replies judged.
    """

    steerability: Rate
    coherence: float
    broken: Rate
    repetition: Rate
    retention: float | None = None
    n: int


class CandidateResult(Measures, CandidateSpec):
    """A candidate and what was measured of it."""


class SearchSpace(Record):
    """Where to look for a candidate.

    Attributes:
        sites: where to read and steer.
        layers: blocks to try.
        operators: names of operators.
        low, high: strength range for `add`, in residual norms.
        trials: how many candidates may be evaluated in it.
        reason: why this space.
    """

    sites: tuple[str, ...] = Field(min_length=1)
    layers: tuple[int, ...] = Field(min_length=1)
    operators: tuple[str, ...] = Field(default=("add",), min_length=1)
    low: float = Field(default=0.2, gt=0)
    high: float = Field(default=3.0, gt=0)
    trials: int = Field(default=TRIALS, ge=1, le=10_000)
    reason: str = Field(default="", max_length=LONGEST_REASON)

    @model_validator(mode="after")
    def _a_range(self) -> SearchSpace:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not be above high ({self.high:g})")
        return self


class Verdict(Record):
    """A judge's answer about one reply: the probability that it does what was asked."""

    score: Rate


class Sample(Record):
    """A reply to be judged, with the prompt it answers."""

    prompt: str
    reply: str


class Failure(Sample):
    """A reply that did not do what it should, with the judge's score."""

    score: Rate


Action = Literal["confirm", "narrow", "widen", "other_method", "revise_data", "split", "give_up"]
MOST_PARTS = 3


class Decision(Record):
    """What the controller makes of a round, with the reason that the report shows.

    Attributes:
        candidate: what to confirm.
        method: with `other_method`, the method of extraction to try on the same data.
        parts: with `split`, the goals that together are the goal: each gets data and vectors of its
            own, and a plan steers with all of them.
    """

    action: Action
    candidate: CandidateSpec | None = None
    method: str | None = None
    parts: tuple[Text, ...] = Field(default=(), max_length=MOST_PARTS)
    reason: str = Field(default="", max_length=LONGEST_REASON)

    @model_validator(mode="after")
    def _parts_of_a_split(self) -> Decision:
        if self.action != "split" and self.parts:
            raise ValueError(f"only a split goal has parts; the action is {self.action}")
        if self.action == "split" and len(set(self.parts)) < max(2, len(self.parts)):
            raise ValueError("a goal is split into two parts or more, no two of them the same")
        return self

    @model_validator(mode="after")
    def _a_known_method(self) -> Decision:
        if self.action == "other_method" and self.method not in methods():
            raise ValueError(f"method must be one of {', '.join(methods())}, not {self.method!r}")
        return self


class SiteEvidence(LayerEvidence):
    """What is known about one layer at one site before anything is steered there.

    Attributes:
        stability: mean cosine of the directions of two bootstrap samples of the pairs; None on
            records from before it was measured.
    """

    site: str
    stability: float | None = None


class RoundSummary(Record):
    """What one round brought.

    Attributes:
        parts: what the goal was split into; empty where it was taken as a whole.
        positive, negative: the instructions of its two sides; of the last part, if it was split.
        pairs_kept, pairs_sampled: how many pairs were confirmed, of how many.
        turned_down: replies to the positive instructions that the judge did not confirm.
        strays: replies of the other side that the judge found to do what the goal asks.
        space: where was searched; None where it did not come to that.
        best: the best candidate.
        leading: the best few that were looked at, the best first, each by its longest look.
        failures: replies of the best candidate with the lowest scores.
        decision: what was made of it.
    """

    number: int
    parts: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    pairs_kept: int
    pairs_sampled: int
    turned_down: tuple[Failure, ...] = ()
    strays: tuple[Failure, ...] = ()
    space: SearchSpace | None = None
    best: CandidateResult | None = None
    leading: tuple[CandidateResult, ...] = ()
    failures: tuple[Failure, ...] = ()
    decision: Decision | None = None
