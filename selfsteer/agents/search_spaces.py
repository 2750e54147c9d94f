"""Where to search, without a language model: anew, around what led so far, or further afield.

Shared by the controllers that do not ask a large model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfsteer.agents.leading import leading
from selfsteer.agents.types import RoundSummary, SearchSpace, SiteEvidence, Thresholds

MIN_AUROC = 0.65
LAST_SHARE_LEFT_OUT = 0.2  # of deep students: directions there act on the output words only
DEEP = 10
LOW, HIGH = 0.2, 1.6  # strengths of a first search
SAME_VECTORS = ("narrow", "widen")  # decisions after which the next round has the same vectors
NARROW_TO = 3  # candidates that a narrowed search stays around
NARROW_BY = 1.4
WIDEN_BY = 1.5


def search_space(
    evidence: Sequence[SiteEvidence],
    history: Sequence[RoundSummary],
    thresholds: Thresholds | None = None,
    operators: Sequence[str] = ("add",),
) -> SearchSpace:
    """The space of the next round, as the last one decided: narrower, wider, or another one.

    Args:
        evidence: of every site and layer that there are vectors for.
        history: the rounds so far.
        thresholds: of the goal; candidates are ranked by them.
        operators: of a search with new vectors.
    """
    before = same_vectors(history)
    decided = history[-1].decision if before else None
    if decided is not None and decided.action == "narrow" and any(row.leading for row in before):
        return _narrowed(before, thresholds or Thresholds())
    if decided is not None and decided.action == "widen":
        return _widened(evidence, before)
    return _fresh(evidence, len(history), operators)


def same_vectors(history: Sequence[RoundSummary]) -> list[RoundSummary]:
    """The latest rounds that searched with the vectors that the next one searches with."""
    found: list[RoundSummary] = []
    for row in reversed(history):
        if row.space is None or row.decision is None or row.decision.action not in SAME_VECTORS:
            break
        found.insert(0, row)
    return found


def _fresh(evidence: Sequence[SiteEvidence], failed: int, operators: Sequence[str]) -> SearchSpace:
    """The layers whose held-out pairs can be told apart, with a strength range.

    Detection says only where a direction exists; how well it steers is left to the evaluation, so
    no layer is preferred to another. A look at new vectors after rounds without success is wider.
    """
    depth = _depth(evidence)
    usable = _shallow([r for r in evidence if r.auroc >= MIN_AUROC] or evidence, depth)
    layers = tuple(sorted({row.layer for row in usable}))
    sites = tuple(dict.fromkeys(row.site for row in usable))
    wider = WIDEN_BY**failed
    return SearchSpace(
        sites=sites,
        layers=layers,
        operators=tuple(operators),
        low=LOW / wider,
        high=HIGH * wider,
        reason=(
            f"{len(layers)} of {depth} layers tell held-out pairs apart "
            f"(AUROC of at least {MIN_AUROC:g}), read at {' and '.join(sites)}."
        ),
    )


def _narrowed(before: Sequence[RoundSummary], thresholds: Thresholds) -> SearchSpace:
    """The sites, layers and operators of the best few so far, at strengths about theirs."""
    spaces = [row.space for row in before if row.space is not None]
    best = leading([r for row in before for r in row.leading], thresholds, NARROW_TO)
    low, high = min(s.low for s in spaces), max(s.high for s in spaces)
    doses = [result.strength for result in best if result.operator == "add"]
    if doses:
        low, high = max(low, min(doses) / NARROW_BY), min(high, max(doses) * NARROW_BY)
    return SearchSpace(
        sites=tuple(dict.fromkeys(result.site for result in best)),
        layers=tuple(sorted({result.layer for result in best})),
        operators=tuple(dict.fromkeys(result.operator for result in best)),
        low=low,
        high=high,
        trials=max(1, spaces[-1].trials // 2),
        reason=f"Around the best {len(best)} candidates so far, with the same vectors.",
    )


def _widened(evidence: Sequence[SiteEvidence], before: Sequence[RoundSummary]) -> SearchSpace:
    """Every site and layer, whatever the evidence, and strengths beyond those of before.

    The last layers of a deep student stay left out, unless they were searched before.
    """
    spaces = [row.space for row in before if row.space is not None]
    searched = {layer for space in spaces for layer in space.layers}
    depth = _depth(evidence)
    layers = searched | {row.layer for row in _shallow(evidence, depth)}
    which = "All" if len(layers) == depth else f"{len(layers)} of {depth}"
    return SearchSpace(
        sites=tuple(dict.fromkeys(row.site for row in evidence)),
        layers=tuple(sorted(layers)),
        operators=tuple(dict.fromkeys(name for space in spaces for name in space.operators)),
        low=min(space.low for space in spaces) / WIDEN_BY,
        high=max(space.high for space in spaces) * WIDEN_BY,
        trials=max(space.trials for space in spaces),
        reason=(
            f"{which} layers, and strengths on both sides of those so far, with the same vectors."
        ),
    )


def _depth(evidence: Sequence[SiteEvidence]) -> int:
    return 1 + max(row.layer for row in evidence)


def _shallow(rows: Sequence[SiteEvidence], depth: int) -> Sequence[SiteEvidence]:
    """Without the last layers of a deep student, where there are others."""
    if depth < DEEP:
        return rows
    deepest = math.ceil(depth * (1 - LAST_SHARE_LEFT_OUT))
    return [row for row in rows if row.layer < deepest] or rows
