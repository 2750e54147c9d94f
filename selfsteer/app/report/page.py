"""From a run in memory to one HTML file that needs nothing else.

Every text goes through the template's escaping; the page allows itself no script
and nothing from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selfsteer import __version__
from selfsteer.agents.evolving.settings import is_evolution
from selfsteer.agents.types import CandidateResult, CandidateSpec
from selfsteer.app.report.data import ReportData, gather, tried
from selfsteer.app.report.evolution import gather_evolution, render_evolution
from selfsteer.app.report.plots import DARK, LIGHT, heat_map, trade_off
from selfsteer.app.report.templates import template
from selfsteer.app.report.writing import check_place, write_file
from selfsteer.memory.records import Candidate
from selfsteer.memory.store import Memory

_SAMPLES_SHOWN = 8


def write_report(memory: Memory, run_id: str, path: Path) -> None:
    """Write the page of a run, whole or not at all, and put it on record.

    Raises:
        MemoryFileError: no such run, or none that has a page.
        SelfsteerError: the file cannot be written.
    """
    evolves = is_evolution(memory.runs.get(run_id).settings)
    page = (
        render_evolution(gather_evolution(memory, run_id))
        if evolves
        else render(gather(memory, run_id))
    )
    check_place(path)  # what cannot be a page must not be on record as one
    with memory.files.writing("page", [path], run_ids=[run_id]):
        write_file(page, path)


def render(data: ReportData) -> str:
    """The page as text."""
    results = {turn.number: _results(turn.candidates) for turn in data.rounds}
    by_round = {number: found for number, found in results.items() if found}
    points = [result for found in by_round.values() for result in found]
    thresholds = data.settings.goal.thresholds
    # What came from memory was no candidate of this run's search.
    chosen = None if data.verdict.get("recalled") else data.chosen
    plots = {}
    if points:
        plots = {
            "heat_map": [heat_map(by_round, chosen, theme) for theme in (LIGHT, DARK)],
            "trade_off": [trade_off(points, chosen, thresholds, theme) for theme in (LIGHT, DARK)],
        }
    return template("page.html.j2").render(
        data=data,
        plots=plots,
        searched=chosen,
        sample_rows=_sample_rows(data),
        version=__version__,
    )


def _results(candidates: Sequence[Candidate]) -> list[CandidateResult]:
    """Candidates as points of a plot; plans that no loop made are left out."""
    found = []
    for candidate in tried(candidates):
        spec = CandidateSpec.of_plan(candidate.plan)
        if spec is None or candidate.steerability is None or candidate.coherence is None:
            continue
        found.append(
            CandidateResult(
                **spec.model_dump(),
                steerability=candidate.steerability,
                coherence=candidate.coherence,
                broken=float(str(candidate.details.get("broken", 0.0))),
                repetition=float(str(candidate.details.get("repetition", 0.0))),
                retention=candidate.retention,
                n=candidate.n,
            )
        )
    return found


def _sample_rows(data: ReportData) -> list[dict[str, str | None]]:
    """The first reply of each arm to evenly spaced prompts: none is picked by what it says."""
    if data.samples is None:
        return []
    firsts = data.samples.firsts
    count = min(_SAMPLES_SHOWN, len(firsts))
    chosen = [firsts[i * len(firsts) // count] for i in range(count)]
    arms = data.samples.arms
    return [
        {
            "prompt": data.samples.prompts[i],
            **{arm: arms[arm][i] if arm in arms else None for arm in _ARMS},
        }
        for i in chosen
    ]


_ARMS = ("base", "prompt_only", "steered")
