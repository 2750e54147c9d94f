"""The plots of the study of user vectors; no text of a model or a person goes in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from selfsteer.app.report.plots import Theme
from selfsteer.scenarios.experiments.user_vectors.measures import Mean
from selfsteer.scenarios.experiments.user_vectors.plateau import BasisCurve
from selfsteer.scenarios.experiments.user_vectors.results import Study


def arms(gains: Mapping[str, Mean], figure: Figure, theme: Theme) -> None:
    """One bar for each thing that is known of a user, with its interval."""
    axes = figure.subplots()
    places = np.arange(len(gains))[::-1]
    means = [gain.mean for gain in gains.values()]
    reach = np.array(
        [[gain.mean - gain.interval.low, gain.interval.high - gain.mean] for gain in gains.values()]
    ).T
    axes.barh(places, means, height=0.6, color=theme.colours(0.55))
    axes.errorbar(means, places, xerr=reach, fmt="none", ecolor=theme.text, capsize=3, lw=1)
    axes.axvline(0, color=theme.faint, lw=1)
    axes.set_yticks(places, list(gains))
    axes.set_xlabel("gain in bits per token of the user's next messages")


def cold_start(study: Study, figure: Figure, theme: Theme) -> None:
    """The gain over the population against the number of messages that are known."""
    axes = figure.subplots()
    counts = list(study.cold_start)
    gains = list(study.cold_start.values())
    axes.plot(counts, [gain.mean for gain in gains], "o-", color=theme.colours(0.6), ms=5)
    axes.fill_between(
        counts,
        [gain.interval.low for gain in gains],
        [gain.interval.high for gain in gains],
        color=theme.colours(0.6),
        alpha=0.2,
        lw=0,
    )
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=min(0, min(gain.interval.low for gain in gains)))
    axes.set_xlabel("messages known")
    axes.set_ylabel("bits per token\nover the population")


def plateau(basis: BasisCurve, figure: Figure, theme: Theme) -> None:
    """Gain against the number of shared vectors, for the first N users and for all of them."""
    axes = figure.subplots()
    shades = np.linspace(0.25, 0.9, len(basis.by_users))
    for shade, (users, one) in zip(shades, basis.by_users.items(), strict=True):
        colour = theme.colours(shade)
        axes.plot(one.sizes, one.gains, "o-", color=colour, ms=3, lw=1, label=f"{users} users")
    every = basis.all
    grid = np.linspace(0.2, every.sizes[-1], 100)
    axes.plot(grid, [basis.curve.at(x) for x in grid], "--", color=theme.faint, lw=1.2)
    axes.axvline(every.keeps, color=theme.mark, lw=1.2)
    axes.annotate(
        f"{every.keeps} keep 95 %",
        (every.keeps, 0),
        xytext=(-6, 6),
        textcoords="offset points",
        ha="right",
        color=theme.mark,
    )
    axes.set_ylim(bottom=min(0, *(gain for one in basis.by_users.values() for gain in one.gains)))
    axes.set_xlabel("vectors that the users share")
    axes.set_ylabel("gain, bits per token")
    axes.legend(frameon=False, labelcolor=theme.text, loc="center left", bbox_to_anchor=(1, 0.5))


def growth(basis: BasisCurve, figure: Figure, theme: Theme) -> None:
    """The size of the basis that keeps 95 %, and the effective rank, against users, fitted."""
    left, right = figure.subplots(1, 2)
    counts = list(basis.by_users)
    keeps = [one.keeps for one in basis.by_users.values()]
    lows, highs = zip(*(one.interval for one in basis.by_users.values()), strict=True)
    # The interval of a size that is the largest tried may lie to one side of it.
    reach = [
        [max(0.0, size - low) for size, low in zip(keeps, lows, strict=True)],
        [max(0.0, high - size) for size, high in zip(keeps, highs, strict=True)],
    ]
    left.errorbar(
        counts, keeps, yerr=reach, fmt="o", color=theme.colours(0.6), ms=5, capsize=3, lw=1
    )
    left.set_ylabel("shared vectors that keep 95 %")
    right.plot(counts, list(basis.ranks.values()), "o", color=theme.colours(0.6), ms=5)
    right.set_ylabel("effective rank of their vectors")
    grid = np.geomspace(counts[0], counts[-1], 100)
    for axes, fitted in ((left, basis.growth), (right, basis.rank_growth)):
        axes.plot(grid, [fitted.at(x) for x in grid], "--", color=theme.faint, lw=1.2)
        axes.axhline(fitted.height, color=theme.mark, lw=1)
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("users")
