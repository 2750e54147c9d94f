"""The pages of the studies of user vectors and of their spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from selfsteer.app.report import study_plots as drawn
from selfsteer.app.report.plots import DARK, LIGHT, drawing
from selfsteer.app.report.spread_plots import adoption
from selfsteer.app.report.templates import template
from selfsteer.app.report.writing import write_file
from selfsteer.scenarios.bars import Bar
from selfsteer.scenarios.experiments.spread import SpreadStudy
from selfsteer.scenarios.experiments.user_vectors.results import Study
from selfsteer.steering.users.arms import MEASURES

ARMS = {
    "none": "nothing",
    "population": "the population's vector",
    "own": "the user's own vector",
    "traits": "named vectors alone",
    "shuffled": "other users' vectors",
    "profile": "the true profile as a prompt",
    "history": "the messages in context",
}
"""What people call the arms of a study."""


def write_study_page(study: Study, bars: Sequence[Bar], path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    gains = {ARMS[name]: gain for name, gain in study.arms.by_name.items() if name != "none"}
    plots = _plots(
        {
            "arms": (partial(drawn.arms, gains), 2.6),
            "cold_start": (partial(drawn.cold_start, study), 2.6),
            "plateau": (partial(drawn.plateau, study.basis), 2.8),
            "growth": (partial(drawn.growth, study.basis), 2.8),
        }
    )
    page = template("study.html.j2").render(
        study=study, names=ARMS, measures=MEASURES, bars=bars, plots=plots
    )
    write_file(page, path)


def write_spread_page(study: SpreadStudy, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    plots = _plots(
        {
            name: (lambda figure, theme, run=run: adoption(figure, run, theme), 3.0)
            for name, run in zip(("imitation", "drift"), study.runs, strict=True)
        }
    )
    write_file(template("spread.html.j2").render(study=study, plots=plots), path)


def _plots(draws: Mapping[str, tuple[Callable[..., Any], float]]) -> dict[str, tuple[str, ...]]:
    """Each plot, light and dark."""
    return {
        name: tuple(drawing(draw, height, theme) for theme in (LIGHT, DARK))
        for name, (draw, height) in draws.items()
    }
