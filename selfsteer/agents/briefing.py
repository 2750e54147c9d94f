"""What a large model is told of a run so far, in words; all that others wrote is fenced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfsteer.agents.prompts import fence
from selfsteer.agents.sites import SITES
from selfsteer.agents.types import (
    CandidateResult,
    Failure,
    RoundSummary,
    Sample,
    SiteEvidence,
    Thresholds,
)


def describe_history(history: Sequence[RoundSummary]) -> str:
    """Every round: its data, its best candidates, what failed, and what was decided."""
    if not history:
        return "This is the first round."
    return "Rounds so far:\n\n" + "\n\n".join(map(_round, history))


def describe_thresholds(thresholds: Thresholds) -> str:
    """One line for each threshold."""
    return (
        f"steerability at least {thresholds.steerability:g}, coherence at most "
        f"{thresholds.coherence:g}, broken at most {thresholds.broken:g}, retention at least "
        f"{thresholds.retention:g}"
    )


def describe_evidence(evidence: Sequence[SiteEvidence]) -> str:
    """A table with a line for each site and layer."""
    lines = [
        f"{row.site} | {row.layer} | {row.auroc:.3f} | {row.effect_size:.2f} | "
        f"{'-' if row.stability is None else format(row.stability, '.2f')} | "
        f"{row.norm:.3g} | {row.residual_norm:.3g}"
        for row in evidence
    ]
    head = "site | layer | AUROC | effect size | stability | vector norm | residual norm"
    return "\n".join([head, *lines])


def describe_sites(names: Iterable[str]) -> str:
    """A line for each site."""
    return "\n".join(
        f"- `{name}`: read from `{SITES[name].read}`, added to `{SITES[name].steer}`"
        for name in names
    )


def describe_samples(samples: Sequence[Sample]) -> str:
    """Numbered questions and replies."""
    return "\n\n".join(
        f"Reply {number}\n{fence('question', sample.prompt)}\n{fence('reply', sample.reply)}"
        for number, sample in enumerate(samples, start=1)
    )


def _round(row: RoundSummary) -> str:
    parts = [f"Round {row.number + 1}"]
    if row.parts:
        parts.append("The goal was split into:\n" + fence("parts", "\n".join(row.parts)))
    if row.positive:
        whose = "the last part" if row.parts else "the goal"
        parts.append(
            f"Instructions for {whose}:\n" + fence("instructions", "\n".join(row.positive))
        )
        others = "\n".join(text or "(none)" for text in row.negative)
        parts.append("Instructions of the other side:\n" + fence("instructions", others))
    parts.append(f"{row.pairs_kept} of {row.pairs_sampled} pairs were confirmed.")
    parts += _failures("Replies that the judge turned down as examples", row.turned_down)
    parts += _failures(
        "Replies under the instructions of the other side that the judge found to do it", row.strays
    )
    if row.space is not None:
        parts.append(
            f"Searched: sites {', '.join(row.space.sites)}; layers "
            f"{', '.join(map(str, row.space.layers))}; strengths {row.space.low:.2f} to "
            f"{row.space.high:.2f}; operators {', '.join(row.space.operators)}; "
            f"{row.space.trials} candidates."
        )
    parts += _candidates(row)
    parts += _failures("Its replies with the lowest scores", row.failures)
    if row.decision is not None:
        parts.append(f"Decided: {row.decision.action}. {fence('reason', row.decision.reason)}")
    return "\n".join(parts)


def _candidates(row: RoundSummary) -> list[str]:
    """The best candidate, and the others that led."""
    if row.best is None:
        return ["No candidate."]
    others = [result for result in row.leading if result.spec() != row.best.spec()]
    told = [f"Best candidate: {_candidate(row.best)}"]
    if others:
        told.append("Others that led:\n" + "\n".join(f"- {_candidate(o)}" for o in others))
    return told


def _candidate(result: CandidateResult) -> str:
    kept = "not measured" if result.retention is None else f"{result.retention:.3f}"
    return (
        f"site {result.site}, layer {result.layer}, {result.operator} "
        f"{result.strength:.3f}: steerability {result.steerability:.3f}, coherence "
        f"{result.coherence:.3f}, broken {result.broken:.3f}, retention {kept}, on "
        f"{result.n} replies."
    )


def _failures(title: str, failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    shown = [
        f"Score {failure.score:.2f}\n{fence('question', failure.prompt)}\n"
        f"{fence('reply', failure.reply)}"
        for failure in failures
    ]
    return [f"{title}:\n" + "\n".join(shown)]
