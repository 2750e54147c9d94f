"""What a run may spend, checked before every spend."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Spent(BaseModel):
    """What a run has used up so far."""

    model_config = ConfigDict(frozen=True)

    rounds: int = 0
    candidates: int = 0
    generated_tokens: int = 0
    minutes: float = 0.0

    def plus(self, **amounts: float) -> Spent:
        """The same with more spent."""
        values = self.model_dump()
        return Spent(**{name: values[name] + amounts.get(name, 0) for name in values})


class Budget(BaseModel):
    """Limits of a run; every limit is positive.

    Attributes:
        rounds: turns of the loop.
        candidates: plans evaluated, closer looks counted again.
        generated_tokens: tokens that the student writes.
        minutes: wall-clock time of the run, interruptions left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=3, ge=1)
    candidates: int = Field(default=240, ge=1)
    generated_tokens: int = Field(default=2_000_000, ge=1)
    minutes: float = Field(default=60.0, gt=0)

    def exhausted(self, spent: Spent) -> str | None:
        """Which limit is reached, in words; None while there is room."""
        for name in ("rounds", "candidates", "generated_tokens", "minutes"):
            limit, used = getattr(self, name), getattr(spent, name)
            if used >= limit:
                return f"the budget of {limit:g} {name.replace('_', ' ')} is used up"
        return None
