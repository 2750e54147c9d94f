"""The plots of an evolution: names in them are ours, no text of a model or a person goes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from selfsteer.app.report.plots import Theme, ink_on, upper_part

_MOST_NAMES = 16  # in a generation; beyond that the names would run into each other
_MOST_CELLS = 20  # a side, beyond which the cells are too small for figures
_MARKERS = {
    "founder": "s",
    "mix": "o",
    "cross": "D",
    "mutation": "^",
    "dose": "v",
}


@dataclass(frozen=True)
class Node:
    """An individual in the family tree; `parents` are names of others."""

    name: str
    parents: tuple[str, ...]
    fitness: float
    made: str


def born(name: str) -> tuple[int, int]:
    """The generation of an individual and its place there, from its name."""
    generation, place = name.split(".")
    return int(generation), int(place.lstrip("r"))


def height(name: str, labels: Sequence[str], kin: Sequence[object]) -> float:
    """Inches of a plot, which grow with what has to be told apart in it."""
    if name == "tree":
        return 2.6 + 0.025 * min(len(kin), 100)
    if name == "matrix":
        return 2.0 + 0.28 * min(len(labels), _MOST_CELLS)
    return 3.0


def fitness(figure: Figure, generations: Sequence[Mapping[str, Any]], theme: Theme) -> None:
    """Best and median fitness of every generation, in both arms."""
    axes = figure.subplots()
    numbers = [turn["round"] for turn in generations]
    for arm, colour, name in (
        ("random", theme.faint, "random search"),
        ("evolved", theme.colours(0.6), "evolution"),
    ):
        for measure, line in (("best", "-"), ("median", "--")):
            values = [turn[arm][measure] for turn in generations]
            axes.plot(
                numbers, values, line, color=colour, marker="o", ms=4, label=f"{name}, {measure}"
            )
    axes.set_xlabel("generation")
    axes.set_ylabel("fitness, development probes")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(
        frameon=False, labelcolor=theme.text, ncols=2, loc="lower left", bbox_to_anchor=(0, 1)
    )


def family_tree(figure: Figure, nodes: Sequence[Node], best: str | None, theme: Theme) -> None:
    """Everyone by generation of birth, below their parents, coloured by fitness.

    Args:
        best: who was chosen in the end, ringed.
    """
    axes = figure.subplots()
    sizes = Counter(born(node.name)[0] for node in nodes)
    order = _untangled(nodes)
    at: dict[str, tuple[float, int]] = {}
    for generation, names in order.items():
        for place, name in enumerate(names):
            at[name] = ((place + 0.5) / sizes[generation], generation)
    lines = [
        [at[parent], at[node.name]] for node in nodes for parent in node.parents if parent in at
    ]
    axes.add_collection(LineCollection(lines, colors=theme.faint, linewidths=0.7, zorder=1))
    values = [node.fitness for node in nodes]
    shown = None
    for made, marker in _MARKERS.items():
        here = [node for node in nodes if node.made == made]
        if here:
            shown = axes.scatter(
                [at[node.name][0] for node in here],
                [at[node.name][1] for node in here],
                c=[node.fitness for node in here],
                cmap=upper_part(theme),
                vmin=min(values),
                vmax=max(values),
                marker=marker,
                s=52,
                linewidths=0,
                zorder=2,
                label=made,
            )
    if best in at:
        x, y = at[best]
        axes.scatter(
            [x], [y], s=170, facecolors="none", edgecolors=theme.mark, linewidths=2, zorder=3
        )
    if max(sizes.values()) <= _MOST_NAMES:
        for name, (x, y) in at.items():
            axes.annotate(
                name,
                (x, y),
                xytext=(0, -12),
                textcoords="offset points",
                ha="center",
                color=theme.text,
                fontsize=6.5,
            )
    axes.set_xlim(0, 1)
    axes.set_ylim(max(sizes) + 0.5, -0.5)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_ylabel("born in generation")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend = axes.legend(
        frameon=False, labelcolor=theme.text, ncols=5, loc="lower left", bbox_to_anchor=(0, 1)
    )
    for handle in legend.legend_handles:
        handle.set_facecolor(theme.colours(0.6))  # type: ignore[union-attr]
        handle.set_array(None)  # type: ignore[union-attr]
    if shown is not None:
        figure.colorbar(shown, ax=axes, label="fitness", pad=0.01).outline.set_visible(False)


def _untangled(nodes: Sequence[Node]) -> dict[int, list[str]]:
    """Names by generation, each below the middle of its parents where that is possible.

    Source: the barycentre step of Sugiyama, Tagawa and Toda (1981).
    """
    place: dict[str, float] = {}
    order: dict[int, list[str]] = {}
    for generation in sorted({born(node.name)[0] for node in nodes}):
        here = [node for node in nodes if born(node.name)[0] == generation]

        def middle(node: Node) -> float:
            known = [place[parent] for parent in node.parents if parent in place]
            return float(np.mean(known)) if known else born(node.name)[1] / 1e6

        ordered = sorted(here, key=middle)
        order[generation] = [node.name for node in ordered]
        place.update({n.name: (i + 0.5) / len(ordered) for i, n in enumerate(ordered)})
    return order


def drift(
    figure: Figure,
    generations: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    theme: Theme,
) -> None:
    """Mean cosine of the population to each founder, and its diversity, by generation.

    Args:
        names: of the founders, by id.
    """
    axes = figure.subplots()
    numbers = [turn["round"] for turn in generations]
    shades = np.linspace(0.35, 1.0, len(names)) if len(names) > 1 else [0.6]
    for (founder, name), shade in zip(names.items(), shades, strict=True):
        values = [turn["evolved"]["drift"][founder] for turn in generations]
        axes.plot(numbers, values, color=theme.colours(shade), marker="o", ms=4, label=name)
    spread = [turn["evolved"]["diversity"] for turn in generations]
    axes.plot(numbers, spread, "--", color=theme.mark, label="diversity")
    axes.set_xlabel("generation")
    axes.set_ylabel("mean cosine to founder")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(
        frameon=False, labelcolor=theme.text, ncols=6, loc="lower left", bbox_to_anchor=(0, 1)
    )


def matrix(
    figure: Figure, labels: Sequence[str], cosines: Sequence[Sequence[float]], theme: Theme
) -> None:
    """Cosines among vectors."""
    axes = figure.subplots()
    values = np.asarray(cosines)
    low = min(0.0, float(values.min()))
    shown = axes.imshow(values, cmap=theme.colours, vmin=low, vmax=1)
    if len(labels) <= _MOST_CELLS:
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        for row, column in np.ndindex(values.shape):
            value = float(values[row, column])
            colour = ink_on(theme.colours((value - low) / (1 - low)))
            axes.text(
                column,
                row,
                f"{value:.2f}".replace("0.", "."),
                ha="center",
                va="center",
                color=colour,
                fontsize=6,
            )
    axes.tick_params(length=0)
    figure.colorbar(shown, ax=axes, label="mean cosine over layers").outline.set_visible(False)
