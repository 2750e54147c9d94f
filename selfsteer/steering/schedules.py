"""How the strength of an edit runs over the tokens that the student generates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfsteer.errors import PlanError

Shares = NDArray[np.float32]

_SHAPES: dict[str, Callable[[NDArray[Any], float], NDArray[Any]]] = {
    "linear": lambda index, tokens: np.maximum(0.0, 1.0 - index / tokens),
    "exponential": lambda index, tokens: 0.5 ** (index / tokens),
    "first": lambda index, tokens: index < tokens,
}


@dataclass(frozen=True)
class Schedule:
    """The share of the strength that is left at the n-th generated token; without one, all of it.

    Tokens are counted as `response[n]` counts them: ordinary tokens, from 0; a special token has
    the share of the ordinary one that would stand in its place. At the prompt, and at token 0, the
    share is 1. Where an operator has a target instead of a dose (see `Operator.target`), the share
    is that of its change.

    Attributes:
        shape: `linear` falls to 0 at token `tokens`; `exponential` halves every `tokens` tokens;
            `first` is 1 for the first `tokens` tokens and 0 afterwards.
        tokens: the scale of the shape, more than 0.

    Raises:
        PlanError: an unknown shape, or a number of tokens that is not positive.
    """

    shape: str
    tokens: float

    def __post_init__(self) -> None:
        if self.shape not in _SHAPES:
            raise PlanError(f"Unknown schedule {self.shape!r}; it is one of {', '.join(_SHAPES)}.")
        if not (math.isfinite(self.tokens) and self.tokens > 0):
            raise PlanError(f"A schedule over {self.tokens} tokens; give a positive number.")

    def shares(self, index: NDArray[Any]) -> Shares:
        """Float32, the share at each token, given how many ordinary ones the reply has before."""
        return _SHAPES[self.shape](index.astype(np.float64), self.tokens).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """The schedule as JSON values."""
        return {"shape": self.shape, "tokens": self.tokens}
