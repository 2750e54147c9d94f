"""The plots of a report, as SVG that stands in the page: no model text goes into them."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from selfsteer.agents.types import CandidateResult, CandidateSpec, Thresholds

_COLUMNS = 8  # of the heat map, evenly spaced in the logarithm of the strength
_MOST_LABELS = 16  # layers; beyond that the cells are too small for figures
PAGE_WIDTH = 7.2  # inches
_MARKERS = ("o", "^", "s", "D", "v", "P")  # of sites


@dataclass(frozen=True)
class Theme:
    """Colours of one mode of the page; the background is left to the page."""

    text: str
    faint: str
    empty: str
    ramp: tuple[str, str, str]
    mark: str

    @property
    def colours(self) -> LinearSegmentedColormap:
        """From little to much."""
        return LinearSegmentedColormap.from_list("ramp", self.ramp)


LIGHT = Theme("#1f2328", "#8b949e", "#eceff2", ("#dbe7f5", "#5b94cf", "#0b3a75"), "#d1500b")
DARK = Theme("#e6e9ed", "#7d8590", "#22272e", ("#1d3450", "#3f7fc4", "#b9dcff"), "#ffa657")


def heat_map(
    rounds: Mapping[int, Sequence[CandidateResult]], chosen: CandidateSpec | None, theme: Theme
) -> str:
    """Steerability by layer and strength, a panel for each round and site, as a data URI.

    The rounds stand below each other, the sites of a round side by side.

    Args:
        rounds: the candidates of each round that had any, by the round's number from 0.
        chosen: marked in its site's panel, in the last round that tried it.
    """
    tried_in = [n for n, results in rounds.items() if any(r.spec() == chosen for r in results)]
    heights = [1.2 + 0.34 * len({r.layer for r in results}) for results in rounds.values()]
    with mpl.rc_context(style(theme)):
        figure = Figure(figsize=(PAGE_WIDTH, sum(heights)), layout="constrained")
        rows = figure.subfigures(len(rounds), 1, squeeze=False, height_ratios=heights)[:, 0]
        for row, (number, results) in zip(rows, rounds.items(), strict=True):
            sites = list(dict.fromkeys(r.site for r in results))
            panels = row.subplots(1, len(sites), squeeze=False)[0]
            for axes, site in zip(panels, sites, strict=True):
                marked = chosen if number in tried_in[-1:] else None
                here = [r for r in results if r.site == site]
                _heat_panel(axes, here, marked, theme, narrow=len(sites) > 1)
                title = f"round {number + 1}, {site}" if len(rounds) > 1 else site
                axes.set_title(title, loc="left", fontsize=9)
        return data_uri(figure)


def trade_off(
    results: Sequence[CandidateResult],
    chosen: CandidateSpec | None,
    thresholds: Thresholds,
    theme: Theme,
) -> str:
    """Steerability against coherence of all candidates, as a data URI.

    Args:
        chosen: marked; of several rounds its last evaluation.
        thresholds: the corner in which a candidate would be accepted.
    """
    with mpl.rc_context(style(theme)):
        figure = Figure(figsize=(PAGE_WIDTH, 3.8), layout="constrained")
        axes = figure.subplots()
        layers = sorted({r.layer for r in results})
        sites = list(dict.fromkeys(r.site for r in results))
        for site, marker in zip(sites, cycle(_MARKERS), strict=False):
            here = [r for r in results if r.site == site]
            points = axes.scatter(
                [r.coherence for r in here],
                [r.steerability for r in here],
                c=[r.layer for r in here],
                cmap=upper_part(theme),
                vmin=layers[0],
                vmax=layers[-1],
                s=[26 if r.operator == "add" else 34 for r in here],
                marker=marker,
                linewidths=0,
                label=site,
            )
        if len(sites) > 1:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(0, 1),
                ncols=len(sites),
                frameon=False,
                labelcolor=theme.text,
            )
        _ring(axes, [(r.coherence, r.steerability) for r in results if r.spec() == chosen], theme)
        _accepted_corner(axes, thresholds, theme)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("coherence: perplexity ratio, less is better (logarithmic)")
        axes.set_ylabel("steerability")
        if len(layers) > 1:
            bar = figure.colorbar(points, ax=axes, label="layer", ticks=_some(layers))
            bar.outline.set_visible(False)
        return data_uri(figure)


def _heat_panel(
    axes: Axes,
    results: Sequence[CandidateResult],
    chosen: CandidateSpec | None,
    theme: Theme,
    *,
    narrow: bool,
) -> None:
    """One site of one round; `chosen` is framed if it is among the results."""
    layers = sorted({r.layer for r in results})
    adds = [r for r in results if r.operator == "add"]
    others = sorted({r.operator for r in results} - {"add"})
    scale = _Scale.of([r.strength for r in adds])
    columns = scale.columns + len(others)

    def place(spec: CandidateSpec) -> tuple[float, int]:
        column = (
            scale.position(spec.strength)
            if spec.operator == "add"
            else scale.columns + others.index(spec.operator)
        )
        return column, layers.index(spec.layer)

    cells: dict[tuple[int, int], list[float]] = {}
    for result in results:
        column, row = place(result)
        cells.setdefault((row, round(column)), []).append(result.steerability)
    values = np.full((len(layers), columns), np.nan)
    for (row, cell), found in cells.items():
        values[row, cell] = sum(found) / len(found)
    axes.set_facecolor(theme.empty)
    axes.imshow(values, cmap=theme.colours, vmin=0, vmax=1, aspect="auto", origin="lower")
    if len(layers) <= _MOST_LABELS:
        _write_values(axes, values, theme)
    if chosen is not None and any(r.spec() == chosen for r in results):
        column, row = place(chosen)
        _frame(axes, round(column), row, theme)
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    if len(layers) > _MOST_LABELS:
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(8, integer=True))
    edges = [(i - 0.5, f"{scale.strength(i - 0.5):.2g}") for i in range(scale.columns + 1)]
    if not adds:
        edges = []
    if narrow:  # room for every other edge, and for the last one only where no name follows it
        edges = edges[: -1 if others else None : 2]
    named = [(scale.columns + i, name) for i, name in enumerate(others)]
    axes.set_xticks([x for x, _ in edges + named], [name for _, name in edges + named])
    axes.set_xlabel("strength of add, residual norms" + ("; others by name" if others else ""))
    axes.set_ylabel("layer")


@dataclass(frozen=True)
class _Scale:
    """Strengths to columns: column i covers positions i - 0.5 to i + 0.5."""

    low: float
    high: float
    columns: int

    @classmethod
    def of(cls, strengths: Sequence[float]) -> _Scale:
        """A scale that holds all strengths; no columns for none, one for a single one."""
        if not strengths:
            return cls(1.0, 2.0, 0)
        low, high = min(strengths), max(strengths)
        if high / low < 1.001:
            return cls(low / 1.1, high * 1.1, 1)
        return cls(low, high, _COLUMNS)

    def position(self, strength: float) -> float:
        share = math.log(strength / self.low) / math.log(self.high / self.low)
        # The ends belong to the outermost columns.
        return min(max(share * self.columns - 0.5, -0.499), self.columns - 0.501)

    def strength(self, position: float) -> float:
        return self.low * math.pow(self.high / self.low, (position + 0.5) / max(1, self.columns))


def _write_values(axes: Axes, values: np.ndarray, theme: Theme) -> None:
    for row, column in zip(*np.nonzero(~np.isnan(values)), strict=True):
        value = float(values[row, column])
        colour = ink_on(theme.colours(value))
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7.5)


def ink_on(ground: tuple[float, float, float, float]) -> str:
    """The colour in which text is read best on another."""
    red, green, blue, _ = ground
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#f5f5f5"


def _frame(axes: Axes, column: int, row: int, theme: Theme) -> None:
    corner = (column - 0.5, row - 0.5)
    axes.add_patch(
        mpl.patches.Rectangle(corner, 1, 1, fill=False, color=theme.mark, lw=2.4, clip_on=False)
    )


def _ring(axes: Axes, points: Sequence[tuple[float, float]], theme: Theme) -> None:
    if points:
        x, y = points[-1]
        axes.scatter([x], [y], s=130, facecolors="none", edgecolors=theme.mark, linewidths=2.2)
        axes.annotate(
            "chosen", (x, y), xytext=(10, -22), textcoords="offset points", color=theme.mark
        )


def _accepted_corner(axes: Axes, thresholds: Thresholds, theme: Theme) -> None:
    axes.axhline(thresholds.steerability, color=theme.faint, lw=1, ls="--", zorder=0)
    axes.axvline(thresholds.coherence, color=theme.faint, lw=1, ls="--", zorder=0)
    # At the far end, where good candidates and their mark are not.
    axes.annotate(
        "accepted: above and left of the dashed lines",
        (1, thresholds.steerability),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-5, -11),
        textcoords="offset points",
        ha="right",
        color=theme.faint,
        fontsize=8,
    )


def drawing(draw: Callable[[Figure, Theme], None], height: float, theme: Theme) -> str:
    """What `draw` puts into an empty figure, as a data URI.

    Args:
        height: in inches.
    """
    with mpl.rc_context(style(theme)):
        figure = Figure(figsize=(PAGE_WIDTH, height), layout="constrained")
        draw(figure, theme)
        return data_uri(figure)


def upper_part(theme: Theme) -> LinearSegmentedColormap:
    """The ramp without its faintest third, in which points would hardly be seen."""
    return LinearSegmentedColormap.from_list("upper", theme.colours(np.linspace(0.3, 1, 64)))


def _some(layers: Sequence[int]) -> list[int]:
    """At most about eight of the layers."""
    return list(layers[:: math.ceil(len(layers) / 8)])


def style(theme: Theme) -> dict[Any, Any]:
    """Settings of matplotlib for one mode of the page."""
    return {
        "axes.facecolor": "none",
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.edgecolor": theme.faint,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 9,
        "svg.hashsalt": "selfsteer",
    }


def data_uri(figure: Figure) -> str:
    """A figure as SVG that stands in the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{b64encode(buffer.getvalue()).decode()}"
