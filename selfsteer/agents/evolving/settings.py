"""What decides the course of an evolution: a run's settings, and those of its population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from selfsteer.agents.probes import ProbeSplits
from selfsteer.agents.settings import Effort, RunSettings
from selfsteer.agents.types import Record

ARMS = 2  # evolution, and random search beside it
GROUPS = 3  # that have finalists: these two, and the founders
REPORT_ARMS = 2 + GROUPS  # base and prompt-only beside the champions
STRENGTHS = (0.2, 1.6)  # residual norms; as in the first round of the loop's search

VectorId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Evolution(Record):
    """The population.

    Attributes:
        founders: ids of the vectors that everything descends from.
        generations: after the founding one.
        population: individuals of a generation, in each arm.
        elites: of the best of a generation that live on, and are judged again.
        tournament: how many draw lots to be a parent; the fittest of them is.
    """

    founders: tuple[VectorId, ...] = Field(min_length=1)
    generations: int = Field(default=6, ge=1, le=1_000)
    population: int = Field(default=12, ge=4, le=1_000)
    elites: int = Field(default=2, ge=1)
    tournament: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _room_for_children(self) -> Evolution:
        if self.elites >= self.population:
            raise ValueError("a population needs room for others than its elites")
        return self


class EvolveSettings(RunSettings):
    """What an evolution was asked to do; of `effort` it uses these parts.

    Each generation is asked ``development_prompts``, ``finalists`` of each group all development
    probes, ``finalist_samples`` times; confirmation and report are those of the loop.
    """

    effort: Effort = Effort(
        development_prompts=16, finalists=3, finalist_samples=3, report_samples=128
    )
    evolution: Evolution

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest strength."""
        return self.strengths or STRENGTHS


def is_evolution(settings: Mapping[str, Any]) -> bool:
    """Whether the settings of a run in memory are those of an evolution."""
    return "evolution" in settings


def evaluations(settings: EvolveSettings) -> int:
    """Candidates that a whole evolution evaluates; looks at a founding generation count once."""
    wanted = settings.evolution
    bred = wanted.population * (1 + ARMS * wanted.generations)
    return bred + GROUPS * settings.effort.finalists + 1


def workload(settings: EvolveSettings, probes: ProbeSplits) -> dict[str, int]:
    """Replies that the student gives at most: in a generation, and in each of the last looks."""
    effort, wanted = settings.effort, settings.evolution
    asked = min(effort.development_prompts, len(probes.development))
    every = len(probes.development) * effort.finalist_samples
    per_prompt = -(-effort.report_samples // len(probes.report))
    return {
        "founding": (wanted.population + 1) * asked,
        "generation": (ARMS * wanted.population + 1) * asked,
        "finalists": (GROUPS * effort.finalists + 1) * every,
        "confirm": 2 * len(probes.confirmation) * effort.confirmation_samples,
        "report": REPORT_ARMS * len(probes.report) * per_prompt,
    }
