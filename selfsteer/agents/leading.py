"""Which candidates of a search lead, when some were looked at longer than others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfsteer.agents.policy import utility
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
