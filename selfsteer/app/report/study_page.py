"""The page of the study of user vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from selfsteer.app.report import study_plots as drawn
from selfsteer.app.report.plots import DARK, LIGHT, drawing
from selfsteer.app.report.templates import template
from selfsteer.app.report.writing import write_page
from selfsteer.scenarios.bars import Bar
from selfsteer.scenarios.experiments.user_vectors.study import Study


def write_study_page(study: Study, bars: Sequence[Bar], path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        SelfsteerError: the file cannot be written.
    """
    found = study.arms
    arms = {
        "the population's vector": found.population,
        "the user's own vector": found.own,
        "named vectors alone": found.traits,
        "other users' vectors": found.shuffled,
        "the true profile as a prompt": found.profile,
        "the messages in context": found.history,
    }
    draws = {
        "arms": (partial(drawn.arms, arms), 2.6),
        "cold_start": (partial(drawn.cold_start, study), 2.6),
        "plateau": (partial(drawn.plateau, study.basis), 2.8),
    }
    plots = {
        name: tuple(drawing(draw, height, theme) for theme in (LIGHT, DARK))
        for name, (draw, height) in draws.items()
    }
    write_page(
        template("study.html.j2").render(study=study, arms=arms, bars=bars, plots=plots), path
    )
