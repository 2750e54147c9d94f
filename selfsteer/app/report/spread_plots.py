"""The plot of how vectors spread through a population of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from selfsteer.agents.spread import Floats, Spread
from selfsteer.app.report.plots import Theme

_MOST_NAMES = 12  # vectors; beyond that a legend would hide the plot


def adoption(
    figure: Figure, spread: Spread, theme: Theme, names: Sequence[str] | None = None
) -> None:
    """Shares of the vectors over time, and how many evenly used ones would be as diverse.

    Lines are means over the repetitions, bands their middle 90 %.

    Args:
        figure: empty.
        names: of the vectors, in a legend; None numbers them. They stand as they are: give no text
            of a model, and none with two dollar signs.
    """
    shares, diversity = figure.subplots(1, 2, sharex=True)
    vectors = spread.shares.shape[2]
    shades = np.linspace(0.2, 1.0, vectors) if vectors > 1 else [0.6]
    for vector, shade in enumerate(shades):
        colour = theme.colours(shade)
        label = str(vector) if names is None else names[vector]
        _band(shares, spread.shares[:, :, vector], colour, label)
    _band(diversity, spread.effective, theme.mark, None)
    shares.set_ylim(-0.02, 1.02)
    shares.set_ylabel("share of users")
    diversity.set_ylim(bottom=0.9)
    diversity.set_ylabel("effective number of vectors")
    for axes in (shares, diversity):
        axes.set_xlabel("step")
        axes.margins(x=0)
    if vectors <= _MOST_NAMES:
        shares.legend(
            frameon=False, labelcolor=theme.text, ncols=4, loc="lower left", bbox_to_anchor=(0, 1)
        )


def _band(axes: Axes, values: Floats, colour: Any, label: str | None) -> None:
    """The mean over repetitions [R, T], and their middle 90 %."""
    steps = np.arange(values.shape[1])
    low, high = np.quantile(values, (0.05, 0.95), axis=0)
    axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(steps, values.mean(0), color=colour, label=label)
