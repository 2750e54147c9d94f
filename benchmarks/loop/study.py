"""Everything about one goal: its grid, its runs at every seed, its searches and its controls.

What is done lies in a folder as one JSON file for each part, with the seconds that it took, so that
an interrupted study goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.loop import controls, reach
from benchmarks.loop.distillation import Floats, direction
from benchmarks.loop.goals import SEEDS, goal_of, name_of
from benchmarks.loop.grid import full_grid
from benchmarks.loop.runs import figures, run
from selfsteer.agents.search import SearchController
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.types import CandidateSpec, Goal, SearchSpace
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student

CONTROLS = 3  # of either kind, for each goal: 48 for eight goals


def study(student: Student, asked: dict[str, str], folder: Path) -> dict[str, Any]:
    """All parts of one goal's study."""
    home = folder / name_of(asked)
    home.mkdir(parents=True, exist_ok=True)
    with Memory.open(home / "memory.db") as memory:
        spent: list[float] = []

        def part(name: str, work: Callable[[], Any]) -> Any:
            found, seconds = _once(home / f"{name}.json", work)
            spent.append(seconds)
            return found

        grid = part("grid", lambda: _grid(student, asked))
        found = {"asked": asked, "grid": grid, "self": [], "search": [], "reach": []}
        for seed in SEEDS:
            goal = goal_of(asked, seed)
            own = part(
                f"self-{seed}",
                lambda goal=goal, seed=seed: figures(  # type: ignore[misc]
                    run(student, memory, goal, seed, SelfController)
                ),
            )
            found["self"].append(own)
            found["reach"].append(
                part(
                    f"reach-{seed}",
                    lambda own=own, seed=seed: _reach(student, memory, own, asked, grid, seed),  # type: ignore[misc]
                )
            )
        # A second controller at one seed; the oracle's intervals say how far that goes.
        goal = goal_of(asked, SEEDS[0])
        found["search"].append(
            part(
                "search-0", lambda: figures(run(student, memory, goal, SEEDS[0], SearchController))
            )
        )
        found["controls"] = part("controls", lambda: _controls(student, memory, found["self"]))
        found["direction"] = _direction(memory, found["self"])
        found["seconds"] = sum(spent)
    return found


def _once(path: Path, work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of earlier work, or of work that is done now; and the seconds it took."""
    if not path.is_file():
        began = time.monotonic()
        found = work()
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps({"found": found, "seconds": time.monotonic() - began}))
        draft.replace(path)
    kept = json.loads(path.read_text())
    return kept["found"], float(kept["seconds"])


def _grid(student: Student, asked: dict[str, str]) -> dict[str, Any]:
    grid = full_grid(student, asked, seed=0)
    return {**asdict(grid), "meets": grid.meets, "score": grid.best.score}


def _reach(
    student: Student,
    memory: Memory,
    own: dict[str, Any],
    asked: dict[str, str],
    grid: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Candidates until the loop's search, and a random one, hold one near the grid's best."""
    stages, vectors = reach.tried_by(memory, own["run"])
    wanted = reach.SHARE * grid["score"]
    if not stages or wanted == 0:
        return {"loop": None, "random": None, "grid": len(grid["points"])}
    (space,) = (
        SearchSpace.model_validate(turn.details["space"])
        for turn in memory.runs.rounds(own["run"])
        if turn.number == 0
    )
    goal = Goal(text=own["goal"])
    drawn = reach.random_search(student, goal, space, vectors, seed)
    loop, random = (
        reach.arrival(student, reach.incumbents(rows, goal), vectors, asked, wanted, seed)
        for rows in (stages, [drawn])
    )
    return {"loop": loop, "random": random, "grid": len(grid["points"])}


def _direction(memory: Memory, runs: list[dict[str, Any]]) -> Floats | None:
    """The mean direction of the goal's accepted plans; None where none was accepted."""
    verdicts: list[Any] = [memory.runs.get(row["run"]).verdict for row in runs if row["accepted"]]
    names = [name for v in verdicts for name in (v["vector_id"], *v.get("further", ()))]
    return direction([memory.get_vector(name) for name in names]) if names else None


def _controls(student: Student, memory: Memory, runs: list[dict[str, Any]]) -> dict[str, int]:
    """How many meaningless vectors are accepted, of how many."""
    own = next((row for row in runs if row["accepted"]), None)
    if own is None:
        return {"accepted": 0, "n": 0}
    ended = memory.runs.get(own["run"])
    verdict: Any = ended.verdict
    spec = CandidateSpec.model_validate({k: verdict[k] for k in CandidateSpec.model_fields})
    vector = memory.get_vector(verdict["vector_id"])
    settings = RunSettings.model_validate(ended.settings)
    taken = [
        controls.accepted(student, memory, settings, fake, spec)
        for number in range(CONTROLS)
        for fake in (
            controls.random_vector(vector, number),
            controls.shuffled_vector(student, memory, vector, number),
        )
    ]
    return {"accepted": sum(taken), "n": len(taken)}
