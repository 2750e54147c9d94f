"""Everything that decides the course of a run, as it is stored with it."""

from __future__ import annotations

import math
from typing import TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
)

from selfsteer.agents.approval import What
from selfsteer.agents.budget import Budget
from selfsteer.agents.types import Goal
from selfsteer.errors import MemoryFileError
from selfsteer.memory.records import Run


class Effort(BaseModel):
    """How much is sampled at each stage.

    Attributes:
        development_prompts: probes for each candidate of the search; later looks use them all.
        trials_per_batch: candidates that TPE is asked for at once.
        refined: candidates of the search that are looked at again, each with doses beside its own.
        finalists: candidates of those that are looked at a last time, two at most of one layer
            and site, so that one which few replies flattered does not take all places.
        polished: where none of them will do, how many of them get a last look at doses beside
            theirs; 0 for none.
        rechecked: where the best of the last looks will do but is not safe to pass the next one,
            how many of the best are looked at once more, and judged by both looks; 0 for none.
        finalist_samples: replies to each development probe in each of the last looks.
        confirmation_samples: replies to each confirmation probe.
        report_samples: replies in all to the report probes, for each arm; 0 leaves them closed.
        report_judged: how many of the replies to each report probe the controller judges.
        refined_capability: questions of the capability set asked of the best quarter of the search,
            of each candidate of the second look, and of a plan from memory that is looked at again;
            the last looks ask them all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    development_prompts: int = Field(default=8, ge=2)
    trials_per_batch: int = Field(default=12, ge=1)
    refined: int = Field(default=5, ge=1)
    finalists: int = Field(default=3, ge=1)
    polished: int = Field(default=2, ge=0)
    rechecked: int = Field(default=2, ge=0)
    finalist_samples: int = Field(default=6, ge=1)
    confirmation_samples: int = Field(default=12, ge=1)
    report_samples: int = Field(default=256, ge=0)
    report_judged: int = Field(default=2, ge=1)
    refined_capability: int = Field(default=60, ge=1)


class RunSettings(BaseModel):
    """What a run was asked to do.

    Attributes:
        goal: the sentence and its thresholds.
        budget: what may be spent.
        effort: how much is sampled.
        seed: of every random choice.
        method: extraction method.
        max_new_tokens: length limit of every reply.
        temperature: of all sampling but the capability questions.
        use_memory: whether a remembered vector may be recalled.
        strengths: lowest and highest strength of the search for `add`, in residual norms; None
            leaves the range to the controller.
        approve: what a person has to approve before the run goes on with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: Goal
    budget: Budget = Budget()
    effort: Effort = Effort()
    seed: int = 0
    method: str = "mean_difference"
    max_new_tokens: int = Field(default=80, ge=1)
    temperature: float = Field(default=0.8, ge=0)
    use_memory: bool = True
    strengths: tuple[float, float] | None = None
    approve: frozenset[What] = frozenset()

    @field_validator("strengths")
    @classmethod
    def _a_range(cls, strengths: tuple[float, float] | None) -> tuple[float, float] | None:
        if strengths is not None and not 0 < strengths[0] < strengths[1] < math.inf:
            raise ValueError("the strengths must be two numbers above 0, the lower one first")
        return strengths

    @field_serializer("approve")
    def _in_order(self, approve: frozenset[What]) -> list[What]:
        return sorted(approve)


Kind = TypeVar("Kind", bound=RunSettings)


def settings_of(run: Run, kind: type[Kind]) -> Kind:
    """The settings that a run in memory was made with.

    Raises:
        MemoryFileError: they are not of this kind; a run may be told by hand, or come in a bundle.
    """
    try:
        return kind.model_validate(run.settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise MemoryFileError(
            f"The settings of run {run.id} are not such as a run of selfsteer keeps ({where}: "
            f"{first['msg']}), so it has no page and cannot be resumed."
        ) from error
