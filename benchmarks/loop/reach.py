"""How many candidates a search looks at before it holds one that is as good as the grid's best.

A search holds the best candidate so far by its own judge, of those that it looked at for longest.
Whenever that one changes, the oracle measures it on probes of its own; the search has arrived when
its score is 0.95 of the grid's.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from benchmarks.card.steerability import WELL_FORMED, measure
from selfsteer.agents.context import last_user_turn, plan_of
from selfsteer.agents.policy import utility
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.settings import Effort
from selfsteer.agents.types import CandidateResult, CandidateSpec, Goal, Sample, SearchSpace
from selfsteer.memory.store import Memory
from selfsteer.steering.evaluate import Judged, evaluate
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector

Results = list[CandidateResult]

SHARE = 0.95
PROBES = 200
TRIALS = 84


def incumbents(stages: Sequence[Results], goal: Goal) -> list[tuple[int, CandidateSpec]]:
    """What a search would take if it ended, wherever that changes, with how many were looked at.

    That is the best of those that it looked at for longest.

    Args:
        stages: the candidates in their order, by the stage of the search. The first may be broken
            off anywhere; what another thinks best is not known before it ends.
    """
    found: list[tuple[int, CandidateSpec]] = []
    seen: Results = []
    for place, results in enumerate(stages):
        for result in results:
            seen.append(result)
            if place == 0 or result is results[-1]:
                longest = max(one.n for one in seen)
                known = [one for one in seen if one.n == longest]
                held = max(known, key=lambda one: utility(one, goal.thresholds)).spec()
                if not found or held != found[-1][1]:
                    found.append((len(seen), held))
    return found


def arrival(
    student: Student,
    held: Sequence[tuple[int, CandidateSpec]],
    vectors: dict[str, SteeringVector],
    asked: dict[str, str],
    wanted: float,
    seed: int,
) -> int | None:
    """Candidates looked at when one was held whose score reaches `wanted`; None for never."""
    plans = [plan_of([vectors[spec.site]], spec) for _, spec in held]
    scores = measure(student, plans, asked, PROBES, seed=5000 + seed)
    for (count, _), (expression, well) in zip(held, scores, strict=True):
        if well >= WELL_FORMED and expression >= wanted:
            return count
    return None


def tried_by(memory: Memory, run_id: str) -> tuple[list[Results], dict[str, SteeringVector]]:
    """The candidates of a run's first round by stage, and its vectors by site.

    Vectors are those that were extracted: a run need not have tried every site that it may.
    """
    rows = [row for row in memory.runs.candidates(run_id, "development") if row.round == 0]
    stages: dict[str, Results] = {}
    for row in rows:
        spec = CandidateSpec.of_plan(row.plan)
        assert spec is not None, "the loop makes no other plans"
        stages.setdefault(str(row.details["stage"]), []).append(_result(spec, row))
    told: Any = next((e.payload for e in memory.runs.events(run_id) if e.kind == "extracted"), None)
    ids = {} if told is None else told["vectors"]
    return list(stages.values()), {site: memory.get_vector(name) for site, name in ids.items()}


def _result(spec: CandidateSpec, row: Any) -> CandidateResult:
    return CandidateResult(
        **spec.model_dump(),
        steerability=row.steerability,
        coherence=row.coherence,
        broken=row.details["broken"],
        repetition=row.details["repetition"],
        retention=row.retention,
        n=row.n,
    )


def random_search(
    student: Student,
    goal: Goal,
    space: SearchSpace,
    vectors: dict[str, SteeringVector],
    seed: int,
) -> list[CandidateResult]:
    """As many candidates as the loop's search, drawn at random, on as many probes, judged alike."""
    rng = Random(f"random-search-{seed}")
    specs = [
        CandidateSpec(
            site=rng.choice(space.sites),
            layer=rng.choice(space.layers),
            operator="add",
            strength=float(np.exp(rng.uniform(np.log(space.low), np.log(space.high)))),
        )
        for _ in range(TRIALS)
    ]
    judge = SelfController(student)

    def judged(rows: Sequence[Judged]) -> list[float]:
        samples = [Sample(prompt=last_user_turn(row.prompt), reply=row.reply) for row in rows]
        return [verdict.score for verdict in judge.judge(goal, samples)]

    def instructed(prompt: Prompt) -> Prompt:
        return prompt.with_system(goal.text)

    scores = evaluate(
        student,
        [plan_of([vectors[spec.site]], spec) for spec in specs],
        deal_probes(seed).development[: Effort().development_prompts],
        judged,
        max_new_tokens=80,
        seed=seed,
        instructed=instructed,
    )
    return [
        CandidateResult(
            **spec.model_dump(),
            steerability=score.steerability,
            coherence=score.coherence,
            broken=score.broken,
            repetition=score.repetition,
            n=score.n,
        )
        for spec, score in zip(specs, scores, strict=True)
    ]
