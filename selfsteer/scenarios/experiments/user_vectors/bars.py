"""What the study has to reach."""

from __future__ import annotations

from selfsteer.scenarios.bars import Bar
from selfsteer.scenarios.experiments.user_vectors.measures import Mean
from selfsteer.scenarios.experiments.user_vectors.results import Study


def study_bars(study: Study) -> list[Bar]:
    """The bars of user vectors; the plateau has none and is told beside them."""
    arms = study.arms
    over = arms.own.over(arms.population)
    prompt = arms.best_prompt.over(arms.population)
    worst = min(study.recovered, key=study.recovered.__getitem__)
    return [
        Bar(
            "bits per token over the population, low end",
            over.interval.low,
            0.0,
            note=f"{study.users} users: {interval(over)}",
        ),
        Bar(
            "share of what the best prompt gains",
            over.mean / prompt.mean,
            0.5,
            note=f"the prompt: {interval(prompt)}",
        ),
        Bar(
            "own vector better than shuffled ones",
            study.told_apart,
            0.9,
            note=f"share of users; ahead by {interval(arms.own_ahead['shuffled'])}",
        ),
        Bar("profile recovered, worst attribute", study.recovered[worst], 0.85, note=worst),
    ]


def interval(gain: Mean) -> str:
    """A mean with its 95 % interval."""
    low, high = gain.interval
    return f"{gain.mean:.3f} [{low:.3f}, {high:.3f}]"
