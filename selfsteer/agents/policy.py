"""The decisions that need no language model: which candidate is better, and what comes next.

Pure functions of evidence and history, shared by the controllers that do not ask a large model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from selfsteer.agents.types import (
    CandidateResult,
    Decision,
    Goal,
    Measures,
    RoundSummary,
    Thresholds,
)

# Development scores are optimistic, because the best of many was chosen on them; so a candidate
# must clear the thresholds by these margins before it is worth the one look at confirmation probes.
STEERABILITY_MARGIN = 0.02
STEERABILITY_AIM = 0.07  # above the threshold: below that, steerability counts double
COHERENCE_MARGIN = 0.05
BROKEN_MARGIN = 0.01
MOST_SLACK = 0.1
BROKEN_PRICE = 1.0  # steerability that one more broken reply in one is worth
NOTHING = 0.01  # of utility: a round that gains less brought nothing
SAFE = 0.95  # a chance to pass that need not be known better


def utility(result: CandidateResult, thresholds: Thresholds) -> float:
    """One number to rank candidates: steerability, less what exceeds the cost that is allowed.

    Broken replies count below their threshold too: one that is broken is worth no more than one
    that does not do what was asked.
    """
    over_coherence = math.log(result.coherence / (thresholds.coherence - COHERENCE_MARGIN))
    score = min(result.steerability, 0.97) - BROKEN_PRICE * result.broken
    score -= max(0.0, thresholds.steerability + STEERABILITY_AIM - result.steerability)
    score -= 2.0 * max(0.0, over_coherence)
    score -= 2.0 * max(0.0, result.broken - (thresholds.broken - 2 * BROKEN_MARGIN))
    if result.retention is not None:
        score -= 2.0 * max(0.0, thresholds.retention + 0.03 - result.retention)
    return score - result.repetition


def best_first(results: Iterable[CandidateResult], thresholds: Thresholds) -> list[CandidateResult]:
    """The results by utility, the best first; of equal ones the earlier."""
    return sorted(results, key=lambda result: utility(result, thresholds), reverse=True)


def promising(result: CandidateResult, thresholds: Thresholds, *, last: bool = False) -> bool:
    """Whether a development result clears every threshold with its margin.

    Args:
        last: nothing comes after this run's search, so that a refusal loses nothing: the costs need
            no margin then. Steerability keeps its own, being what candidates were chosen for.
    """
    spare = 0 if last else 1
    return (
        result.steerability >= min(1.0, thresholds.steerability + STEERABILITY_MARGIN)
        and result.coherence <= thresholds.coherence - spare * COHERENCE_MARGIN
        and result.broken <= max(0.0, thresholds.broken - spare * BROKEN_MARGIN)
        and (result.retention is None or result.retention >= thresholds.retention)
    )


def chance(result: CandidateResult, thresholds: Thresholds, n: int) -> float:
    """How likely another look, of n replies, finds both rates on the right side of their limits.

    That is the posterior predictive of each rate, after a uniform prior and the `result.n` replies
    of this look (beta-binomial; a mean of scores counts as that share of replies). What else is
    measured hardly differs between looks.
    """
    fitting = _at_least(result.steerability, result.n, thresholds.steerability, n)
    return fitting * _at_least(1 - result.broken, result.n, 1 - thresholds.broken, n)


def _at_least(rate: float, seen: int, limit: float, n: int) -> float:
    """The chance that of n replies a share of `limit` is good, after a share `rate` of `seen`."""
    good, bad = rate * seen + 1, (1 - rate) * seen + 1
    least = math.ceil(limit * n - 1e-9)
    ways = math.lgamma(n + 1) - _log_beta(good, bad)
    terms = (
        ways - math.lgamma(k + 1) - math.lgamma(n - k + 1) + _log_beta(good + k, bad + n - k)
        for k in range(least, n + 1)
    )
    return min(1.0, sum(map(math.exp, terms)))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def prospect(result: CandidateResult, thresholds: Thresholds, n: int) -> tuple[float, float]:
    """What the last looks are ranked by: the chance to pass one of n replies, as far as that is not
    safe; then utility."""
    likely = min(chance(result, thresholds, n), SAFE) if promising(result, thresholds) else 0.0
    return likely, utility(result, thresholds)


def recall_thresholds(thresholds: Thresholds, n: int) -> Thresholds:
    """What a remembered vector must still reach in n replies.

    It was confirmed once, on more replies; it is dropped only where the new look speaks against it,
    so its rates may miss a threshold by the 95 % half-width of a rate at that threshold, though
    never by more than `MOST_SLACK`: very few replies excuse nothing.
    """

    def half_width(rate: float) -> float:
        return min(MOST_SLACK, 1.96 * math.sqrt(rate * (1 - rate) / n))

    return thresholds.model_copy(
        update={
            "steerability": max(0.0, thresholds.steerability - half_width(thresholds.steerability)),
            "broken": min(1.0, thresholds.broken + half_width(thresholds.broken)),
        }
    )


def meets(result: Measures, thresholds: Thresholds) -> bool:
    """Whether a confirmation result reaches every threshold."""
    return (
        result.steerability >= thresholds.steerability
        and result.coherence <= thresholds.coherence
        and result.broken <= thresholds.broken
        and (result.retention is None or result.retention >= thresholds.retention)
    )


def next_action(goal: Goal, history: Sequence[RoundSummary]) -> Decision:
    """Confirm a promising candidate; else new data, unless two rounds had no pairs to learn from.

    Rounds that bring nothing better end the search in the loop, whoever decides.
    """
    last = history[-1]
    if last.best is None:
        if len(history) >= 2 and history[-2].best is None:
            return Decision(action="give_up", reason="Two rounds brought no usable pairs.")
        return Decision(
            action="revise_data",
            reason=f"Only {last.pairs_kept} of {last.pairs_sampled} pairs were confirmed.",
        )
    best = last.best
    found = (
        f"{best.site}, layer {best.layer}, {best.operator} {best.strength:.2f}: steerability "
        f"{best.steerability:.2f}, coherence {best.coherence:.2f}, broken {best.broken:.2f}"
        + (f", retention {best.retention:.2f}" if best.retention is not None else "")
    )
    if promising(best, goal.thresholds):
        return Decision(action="confirm", candidate=best.spec(), reason=f"Good enough: {found}.")
    return Decision(action="revise_data", reason=f"Not good enough yet: {found}.")


def stalled(history: Sequence[RoundSummary], thresholds: Thresholds) -> bool:
    """Whether the last round that had a candidate was no better than one before it."""
    scores = [utility(row.best, thresholds) for row in history if row.best is not None]
    return len(scores) >= 2 and scores[-1] <= max(scores[:-1]) + NOTHING


def fruitless(history: Sequence[RoundSummary], thresholds: Thresholds) -> bool:
    """Whether the last two rounds brought nothing: no candidate, or none better than before them.

    A goal that is split begins anew, because what failed before was the goal as a whole.
    """
    since = list(history)
    for place, row in enumerate(history):
        if row.decision is not None and row.decision.action == "split":
            since = list(history[place + 1 :])
    if len(since) < 2:
        return False
    before, last = since[:-2], since[-2:]
    scores = [utility(row.best, thresholds) for row in before if row.best is not None]
    reached = max(scores, default=-math.inf) + NOTHING
    return all(row.best is None or utility(row.best, thresholds) <= reached for row in last)
