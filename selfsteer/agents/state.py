"""The state of the graph: ids, numbers and text only.

Vectors, datasets and generations live in memory under the ids that stand here; live objects (the
student, the memory, the controller) travel in the runtime context. So a checkpoint is small and
holds nothing that another version could not read.
"""

from __future__ import annotations

from typing import Any, TypedDict


class LoopState(TypedDict, total=False):
    """What the nodes hand on; every value is JSON.

    Attributes:
        run_id: the run in memory.
        round: number of the current round, from 0.
        spec: `ContrastiveSpec` without its dataset.
        questions: what the student is asked, where the first proposal named it.
        dataset_id: the round's pairs; None where there are too few.
        method: of extraction, where a round changed it; the settings' method otherwise.
        vector_ids: the round's vectors, by site; empty where it made none.
        pairs: pairs kept and sampled.
        turned_down: `Failure`s among the samples that were meant to be positive.
        evidence: `SiteEvidence` rows.
        space: `SearchSpace`.
        stage: "search", "refine" or "finalists".
        pending: `CandidateSpec`s to be evaluated next.
        replies_id: their replies, not judged yet.
        results: `CandidateResult`s of this round's search.
        refined: `CandidateResult`s of the second look.
        finalists: `CandidateResult`s of the last look.
        failures: `Failure`s of the best of them.
        history: `RoundSummary` of every round.
        decision: the last `Decision`.
        shortage: why the search cannot go on, in words: which limit of the budget is reached, or
            that the controller gave no answer; None while it can.
        recalled: vector id and plan of a remembered run that is being tried; None otherwise.
        replaces: id of the remembered plan of the same goal that no longer holds.
        refused: a person has refused what was to be approved.
        verdict: the run's conclusion.
        spent: `Spent`.
    """

    run_id: str
    round: int
    spec: dict[str, Any]
    questions: list[dict[str, Any]]
    dataset_id: str | None
    method: str
    vector_ids: dict[str, str]
    pairs: dict[str, int]
    turned_down: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    space: dict[str, Any]
    stage: str
    pending: list[dict[str, Any]]
    replies_id: str
    results: list[dict[str, Any]]
    refined: list[dict[str, Any]]
    finalists: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    history: list[dict[str, Any]]
    decision: dict[str, Any]
    shortage: str | None
    recalled: dict[str, Any] | None
    replaces: int
    refused: bool
    verdict: dict[str, Any]
    spent: dict[str, Any]


def fresh_search(number: int) -> LoopState:
    """What a round knows before its search begins."""
    return {
        "round": number,
        "stage": "search",
        "results": [],
        "refined": [],
        "finalists": [],
        "failures": [],
        "space": {},
    }
