"""The plots: valid SVG for any search, however odd."""

from __future__ import annotations

from base64 import b64decode
from xml.etree import ElementTree

import pytest

from selfsteer.agents.types import CandidateResult, CandidateSpec, Thresholds
from selfsteer.app.report.plots import DARK, LIGHT, _Scale, heat_map, trade_off

PREFIX = "data:image/svg+xml;base64,"


def result(
    layer: int, strength: float, operator: str = "add", site: str = "reply", **more: float
) -> CandidateResult:
    figures = {"steerability": 0.5, "coherence": 1.2, "broken": 0.0, "repetition": 0.1} | more
    return CandidateResult(
        site=site, layer=layer, operator=operator, strength=strength, n=12, **figures
    )


def svg(uri: str) -> str:
    assert uri.startswith(PREFIX)
    text = b64decode(uri.removeprefix(PREFIX)).decode()
    ElementTree.fromstring(text)
    return text


SEARCHES = {
    "one candidate": [result(3, 0.5)],
    "only ablate": [result(0, 1.0, "ablate"), result(1, 1.0, "ablate")],
    "both": [result(0, 0.2), result(0, 2.0), result(1, 1.0, "ablate")],
    "many layers": [result(layer, 0.1 * (1 + layer)) for layer in range(40)],
    "huge costs": [result(0, 0.1, coherence=1e9), result(1, 3.0, coherence=0.5)],
    "two sites": [result(0, 0.2), result(1, 0.5, site="start"), result(0, 1.0, "ablate", "start")],
    "three sites": [result(0, 0.2, site=site) for site in ("reply", "start", "text")],
    "embedding": [result(-1, 0.5), result(0, 0.5)],
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_any_search_is_drawn(search: list[CandidateResult], theme: object) -> None:
    svg(heat_map({0: search}, search[0].spec(), theme))  # type: ignore[arg-type]
    svg(trade_off(search, search[0].spec(), Thresholds(), theme))  # type: ignore[arg-type]


def test_what_was_chosen_is_marked_in_the_colour_kept_for_it() -> None:
    search = SEARCHES["both"]
    for marked, plain in (
        (heat_map({0: search}, search[1].spec(), LIGHT), heat_map({0: search}, None, LIGHT)),
        (
            trade_off(search, search[1].spec(), Thresholds(), LIGHT),
            trade_off(search, None, Thresholds(), LIGHT),
        ),
    ):
        assert LIGHT.mark in svg(marked)
        assert LIGHT.mark not in svg(plain)


def panels(rounds: dict[int, list[CandidateResult]], chosen: CandidateSpec | None) -> list[bool]:
    """For every panel of a heat map, whether something is marked in it."""
    parts = svg(heat_map(rounds, chosen, LIGHT)).split('<g id="axes_')[1:]
    return [LIGHT.mark in part for part in parts]


def test_every_round_has_a_panel_for_each_site_that_it_searched() -> None:
    one, two = SEARCHES["both"], SEARCHES["two sites"]
    assert len(panels({0: one}, None)) == 1
    assert len(panels({0: two}, None)) == 2
    assert len(panels({0: two, 1: one, 3: two}, None)) == 5


def test_what_was_chosen_is_marked_once_where_it_was_tried_last() -> None:
    both = [result(1, 0.5, site=site) for site in ("reply", "start")]
    others = [result(1, 0.7), result(0, 0.7)]
    assert panels({0: both}, both[1].spec()) == [False, True]
    assert panels({0: both, 1: both}, both[0].spec()) == [False, False, True, False]
    assert panels({0: both, 1: others}, both[1].spec()) == [False, True, False]
    assert not any(panels({0: both}, result(0, 0.5).spec()))


def test_nothing_is_fetched() -> None:
    text = svg(heat_map({0: SEARCHES["both"]}, None, LIGHT))
    assert 'href="http' not in text
    assert "<script" not in text


def test_strengths_fall_into_the_columns_whose_edges_they_lie_between() -> None:
    scale = _Scale.of([0.2, 3.0])
    for strength in (0.2, 0.21, 0.5, 1.0, 2.9, 3.0):
        column = round(scale.position(strength))
        assert 0 <= column < scale.columns
        low, high = scale.strength(column - 0.5), scale.strength(column + 0.5)
        assert low - 1e-9 <= strength <= high + 1e-9
