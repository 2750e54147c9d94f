"""Which candidates of a search lead, when some were looked at longer than others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from selfsteer.agents.policy import prospect, utility
from selfsteer.agents.types import CandidateResult, CandidateSpec, Thresholds

LEADING = 5  # candidates that a round is remembered by


def longest_looks(results: Iterable[CandidateResult]) -> list[CandidateResult]:
    """Each candidate once, by the look with the most replies; of equal looks the last."""
    longest: dict[CandidateSpec, CandidateResult] = {}
    for result in results:
        known = longest.get(result.spec())
        if known is None or result.n >= known.n:
            longest[result.spec()] = result
    return list(longest.values())


def leading(
    results: Sequence[CandidateResult], thresholds: Thresholds, count: int = LEADING
) -> list[CandidateResult]:
    """The best candidates, the best first: those of the longest look, then those of shorter ones.

    Figures of few replies flatter the candidates that they chose, so a candidate that was dropped
    after a short look never comes before one that was kept and looked at longer.
    """
    ranked = sorted(
        longest_looks(results), key=lambda r: (r.n, utility(r, thresholds)), reverse=True
    )
    return ranked[:count]


def likeliest(
    results: Iterable[CandidateResult], thresholds: Thresholds, n: int
) -> list[CandidateResult]:
    """Each candidate once, by its longest look, those first that are likeliest to pass a look of n
    replies."""
    return sorted(longest_looks(results), key=lambda r: prospect(r, thresholds, n), reverse=True)


def together(first: CandidateResult, second: CandidateResult) -> CandidateResult:
    """Two looks at one candidate as one; abilities are those of the first, if it asked for them."""
    n = first.n + second.n

    def mean(one: float, other: float) -> float:
        return (one * first.n + other * second.n) / n

    return first.model_copy(
        update={
            "steerability": mean(first.steerability, second.steerability),
            "coherence": math.exp(mean(math.log(first.coherence), math.log(second.coherence))),
            "broken": mean(first.broken, second.broken),
            "repetition": mean(first.repetition, second.repetition),
            "n": n,
        }
    )
