"""The plots of the study of user vectors; no text of a model or a person goes in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from selfsteer.app.report.plots import Theme
from selfsteer.scenarios.experiments.user_vectors.measures import BasisCurve, Gain
from selfsteer.scenarios.experiments.user_vectors.study import Study


def arms(gains: Mapping[str, Gain], figure: Figure, theme: Theme) -> None:
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
    """Gain against the number of shared vectors, and effective rank against users."""
    left, right = figure.subplots(1, 2)
    left.plot(basis.sizes, basis.gains, "o", color=theme.colours(0.6), ms=5)
    grid = np.linspace(0.2, basis.sizes[-1], 100)
    left.plot(grid, [basis.plateau.at(x) for x in grid], "--", color=theme.faint, lw=1.2)
    left.axvline(basis.keeps, color=theme.mark, lw=1.2)
    left.annotate(
        f"{basis.keeps} keep 95 %",
        (basis.keeps, 0),
        xytext=(-6, 6),
        textcoords="offset points",
        ha="right",
        color=theme.mark,
    )
    left.set_ylim(bottom=min(0, *basis.gains))
    left.set_xlabel("vectors that all users share")
    left.set_ylabel("gain, bits per token")
    right.plot(list(basis.ranks), list(basis.ranks.values()), "o-", color=theme.colours(0.6), ms=5)
    right.set_xscale("log")
    right.set_xticks(list(basis.ranks), [str(count) for count in basis.ranks])
    right.minorticks_off()
    right.set_ylim(bottom=0)
    right.set_xlabel("users")
    right.set_ylabel("effective rank of their vectors")
