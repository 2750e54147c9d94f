"""The demo's goals and the closed door to the oracle."""

from __future__ import annotations

from random import Random

import pytest

from selfsteer.pocket import grammar
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.showcase import DEMO_FAMILIES, OracleFigures, draw_goal, draw_goals
from tests.pocket.test_wordings import HELD_OUT_PATTERNS


def test_goals_are_a_function_of_the_seed() -> None:
    assert draw_goals(4) == draw_goals(4)
    assert len({tuple(goal.text for goal in draw_goals(seed)) for seed in range(30)}) > 25


@pytest.mark.parametrize("seed", range(10))
def test_four_goals_one_of_each_family_in_wordings_never_trained_on(seed: int) -> None:
    goals = draw_goals(seed)
    assert [[family for family, _ in goal.asked] for goal in goals] == [[f] for f in DEMO_FAMILIES]
    for goal in goals:
        assert all(value in FAMILIES[family] for family, value in goal.asked)
        assert any(pattern.search(goal.text) for pattern in HELD_OUT_PATTERNS)
        assert goal.text[0].isupper()
        assert goal.text.endswith(".")


def test_every_value_is_drawn_some_day() -> None:
    drawn = {goal.asked[0] for seed in range(150) for goal in draw_goals(seed)}
    assert drawn == {(f, value) for f in DEMO_FAMILIES for value in FAMILIES[f]}


def test_figures_count_expression_and_form_apart() -> None:
    rng = Random(0)
    goal = draw_goal(rng, {"mood": "gloomy"})
    gloomy, merry = (
        grammar.render_reply(grammar.draw_reply(rng, grammar.draw_attributes(rng, mood=mood), 2))
        for mood in ("gloomy", "cheerful")
    )
    cut = gloomy.removesuffix(".")
    assert goal.figures([gloomy, merry, cut, ""]) == OracleFigures(expressed=2, well_formed=2, n=4)
    assert goal.figures([]) == OracleFigures(0, 0, 0)


def test_a_goal_over_two_families_asks_for_both() -> None:
    rng = Random(1)
    goal = draw_goal(rng, {"mood": "angry", "topic": "sea"})
    both, one = (
        grammar.render_reply(
            grammar.draw_reply(rng, grammar.draw_attributes(rng, mood="angry", topic=topic), 2)
        )
        for topic in ("sea", "school")
    )
    assert " and " in goal.text
    assert goal.figures([both, one]).expressed == 1
