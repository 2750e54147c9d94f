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
        rubric: how the judge is to tell, where the first proposal said it.
        questions: what the student is asked, where the first proposal named it.
        parts: what the goal is split into, in words; empty where it is taken as a whole.
        part: the place of the part that pairs are made for now; None while it is the whole goal.
        dataset_id: the round's pairs, or the last part's; None where there are too few.
        dataset_ids: the pairs of every part; empty where the goal is taken as a whole.
        method: of extraction, where a round changed it; the settings' method otherwise.
        vector_ids: the round's vectors, by site; empty where it made none.
        further_ids: the same for each part of the goal behind the first one.
        pairs: pairs kept and sampled.
        turned_down: `Failure`s among the samples that were meant to be positive.
        strays: `Failure`s among those that were meant to be negative.
        evidence: `SiteEvidence` rows.
        space: `SearchSpace`.
        stage: "search", "refine", "finalists", "polish" or "recheck".
        pending: `CandidateSpec`s to be evaluated next.
        replies_id: their replies, not judged yet.
        earlier: `CandidateResult`s of the rounds before, as far as they steered with the vectors
            of this one: each candidate by its longest look.
        results: `CandidateResult`s of this round's search.
        refined: `CandidateResult`s of the second look.
        finalists: `CandidateResult`s of the last looks; of one that was looked at twice, of both.
        settled: the round's search is over.
        failures: `Failure`s of the best of them.
        history: `RoundSummary` of every round.
        decision: the last `Decision`.
        measured: the `CandidateResult` that a decision to confirm rests on; None for any other.
        shortage: why the search does not go on, in words: which limit of the budget is reached,
            that the controller gave no answer, or that rounds bring nothing; None while it does.
        recalled: the `Recollection` that is being tried; None otherwise.
        replaces: id of the remembered plan of the same goal that no longer holds.
        refused: a person has refused what was to be approved.
        verdict: the run's conclusion.
        spent: `Spent`.
    """

    run_id: str
    round: int
    spec: dict[str, Any]
    rubric: str
    questions: list[dict[str, Any]]
    parts: list[str]
    part: int | None
    dataset_id: str | None
    dataset_ids: list[str]
    method: str
    vector_ids: dict[str, str]
    further_ids: list[dict[str, str]]
    pairs: dict[str, int]
    turned_down: list[dict[str, Any]]
    strays: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    space: dict[str, Any]
    stage: str
    pending: list[dict[str, Any]]
    replies_id: str
    earlier: list[dict[str, Any]]
    results: list[dict[str, Any]]
    refined: list[dict[str, Any]]
    finalists: list[dict[str, Any]]
    settled: bool
    failures: list[dict[str, Any]]
    history: list[dict[str, Any]]
    decision: dict[str, Any]
    measured: dict[str, Any] | None
    shortage: str | None
    recalled: dict[str, Any] | None
    replaces: int
    refused: bool
    verdict: dict[str, Any]
    spent: dict[str, Any]


def occasion(state: LoopState, number: int) -> str:
    """Names what happens once in a round, or once for each part of its goal: `2`, `2/0`, `2/1`."""
    part = state.get("part")
    return f"{number}" if part is None else f"{number}/{part}"


def vectors_at(state: LoopState, site: str) -> list[str]:
    """The vectors that a candidate steers with at a site: one, or one for each part of the goal."""
    return [ids[site] for ids in (state["vector_ids"], *state.get("further_ids", []))]


def round_details(state: LoopState, site: str | None) -> dict[str, Any]:
    """What goes on record of a round whose best candidate, if there is one, steers at ``site``."""
    details = {
        "pairs": dict(state["pairs"]),
        "evidence": list(state.get("evidence", [])),
        "spec": dict(state["spec"]),
        "space": dict(state["space"]),
    }
    if parts := state.get("parts"):
        details["parts"] = [
            {"goal": part, "dataset_id": dataset_id}
            for part, dataset_id in zip(parts, state["dataset_ids"], strict=False)
        ]
        details["vectors"] = [] if site is None else vectors_at(state, site)
    return details


def fresh_search(number: int) -> LoopState:
    """What a round knows before its search begins."""
    return {
        "round": number,
        "stage": "search",
        "earlier": [],
        "results": [],
        "refined": [],
        "finalists": [],
        "settled": False,
        "failures": [],
        "space": {},
    }
