"""The page of an evolution, gathered from memory: nothing is measured or loaded anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from selfsteer import __version__
from selfsteer.agents.evolving.looks import by_group
from selfsteer.agents.evolving.selection import Individual, members
from selfsteer.agents.evolving.settings import EvolveSettings
from selfsteer.agents.settings import settings_of
from selfsteer.app.report import evolution_plots as drawn
from selfsteer.app.report.plots import DARK, LIGHT, Theme, drawing
from selfsteer.app.report.templates import template
from selfsteer.memory.history import candidates_of, history
from selfsteer.memory.records import Candidate, Event, Run
from selfsteer.memory.store import Memory
from selfsteer.steering.decomposition import similarities

_LISTED = 20  # of the fittest; all are in memory


@dataclass(frozen=True)
class Founder:
    """A vector that everything descends from; `label` names it in the plots."""

    label: str
    id: str
    concept: str
    method: str


@dataclass(frozen=True)
class Listed:
    """An individual of the evolving arm, as the page lists it.

    Attributes:
        label: names it in the plots.
        looks: evaluations that its fitness is the mean of.
    """

    label: str
    individual: Individual
    fitness: float
    looks: int


@dataclass(frozen=True)
class EvolutionData:
    """Everything on the page.

    Attributes:
        generations: payloads of the events.
        kin: everyone of the evolving arm, in the order of their births.
        cosines: among those who lived last and the founders, fittest first; see `labels`.
        reported: candidates on report probes.
        compared: payload of that event; empty where the probes stayed closed.
        notices: what cut the run short.
    """

    run: Run
    settings: EvolveSettings
    verdict: Mapping[str, Any]
    founders: Sequence[Founder]
    generations: Sequence[Mapping[str, Any]]
    kin: Sequence[Listed]
    labels: Sequence[str]
    cosines: Sequence[Sequence[float]]
    reported: Sequence[Candidate]
    compared: Mapping[str, Any]
    champions: Mapping[str, Any]
    notices: Sequence[Event]

    @property
    def fittest(self) -> Sequence[Listed]:
        """The individuals that the page lists."""
        return sorted(self.kin, key=lambda one: -one.fitness)[:_LISTED]


def gather_evolution(memory: Memory, run_id: str) -> EvolutionData:
    """Read an evolution in whatever state it is.

    Raises:
        MemoryFileError: no such run, settings of another kind, or a vector that has been altered.
    """
    run = memory.runs.get(run_id)
    settings = settings_of(run, EvolveSettings)
    events = history(memory, run_id)
    told = {event.kind: event.payload for event in events}
    candidates = candidates_of(events)
    rows = [row for row in candidates if row.details.get("stage") == "generation"]
    vectors = [memory.get_vector(name) for name in settings.evolution.founders]
    founders = [
        Founder(f"F{place}", vector.id, vector.concept, vector.method)
        for place, vector in enumerate(vectors, start=1)
    ]
    groups = by_group(rows)
    looks = [*groups.get("founding", []), *groups.get("evolved", [])]
    kin = [
        Listed(member.individual.name, member.individual, member.fitness, member.looks)
        for member in members(looks, settings.goal.thresholds)
    ]
    last = {
        str(row.details["individual"]["name"])  # type: ignore[call-overload,index]
        for row in rows
        if row.round == rows[-1].round and row.details["group"] != "random"
    }
    alive = [one for one in kin if one.label in last]
    shown = vectors + [memory.get_vector(one.individual.vector) for one in alive]
    return EvolutionData(
        run=run,
        settings=settings,
        verdict=run.verdict or {},
        founders=founders,
        generations=[event.payload for event in events if event.kind == "generation"],
        kin=sorted(kin, key=lambda one: drawn.born(one.label)),
        labels=[*(founder.label for founder in founders), *(one.label for one in alive)],
        cosines=similarities(shown, shown),
        reported=[row for row in candidates if row.split == "report"],
        compared=told.get("compared", {}),
        champions=told.get("finalists", {}),
        notices=[event for event in events if event.kind == "report_left_out"],
    )


def render_evolution(data: EvolutionData) -> str:
    """The page as text."""
    draw: dict[str, Callable[[Figure, Theme], None]] = {}
    if data.generations:
        tree = [
            drawn.Node(one.label, one.individual.parents, one.fitness, one.individual.made)
            for one in data.kin
        ]
        names = {founder.id: founder.label for founder in data.founders}
        best = data.champions.get("champions", {}).get("evolved")
        draw = {
            "fitness": lambda figure, theme: drawn.fitness(figure, data.generations, theme),
            "tree": lambda figure, theme: drawn.family_tree(figure, tree, best, theme),
            "drift": lambda figure, theme: drawn.drift(figure, data.generations, names, theme),
            "matrix": lambda figure, theme: drawn.matrix(figure, data.labels, data.cosines, theme),
        }
    plots = {
        name: [drawing(one, drawn.height(name, data.labels, data.kin), theme) for theme in _THEMES]
        for name, one in draw.items()
    }
    return template("evolution.html.j2").render(data=data, plots=plots, version=__version__)


_THEMES = (LIGHT, DARK)
