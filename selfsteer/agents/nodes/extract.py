"""From the round's dataset to a vector for each site, and the evidence for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from selfsteer.agents.context import Context
from selfsteer.agents.sites import SITES, sites_of
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import SiteEvidence
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.evidence import layer_evidence
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.extraction.report import stability

RESAMPLES = 10  # bootstrap samples of the pairs, each a run of the method

Made = tuple[dict[str, str], list[SiteEvidence]]
"""Vector ids by site, and the evidence."""


def extract(state: LoopState, context: Context) -> LoopState:
    """Vectors of the goal, or of each of its parts."""
    number, method = state["round"], state.get("method") or context.settings.method
    dataset_ids: list[str | None] = [*state.get("dataset_ids", [])] or [state["dataset_id"]]
    seed = context.seed("evidence", number)
    made = [_of_dataset(context, dataset_id, method, seed) for dataset_id in dataset_ids]
    # All parts can be steered at these, which differ only where a dataset was given.
    shared = [site for site in made[0][0] if all(site in vectors for vectors, _ in made)]
    vector_ids, *further_ids = ({site: ids[site] for site in shared} for ids, _ in made)
    evidence = [
        row.model_dump()
        for row in weakest([[row for row in rows if row.site in shared] for _, rows in made])
    ]
    context.emit(
        "extracted",
        f"extract/{number}",
        {
            "round": number,
            "vectors": vector_ids,
            "further": further_ids,
            "method": method,
            "evidence": evidence,
        },
    )
    return {"vector_ids": vector_ids, "further_ids": further_ids, "evidence": evidence}


def weakest(evidence: Sequence[Sequence[SiteEvidence]]) -> list[SiteEvidence]:
    """At every site and layer, the row of the part whose pairs are told apart the worst."""
    return [min(rows, key=lambda row: row.auroc) for rows in zip(*evidence, strict=True)]


def _of_dataset(context: Context, dataset_id: str | None, method: str, seed: int) -> Made:
    """Directions and held-out evidence of a site come from the same activations."""
    assert dataset_id is not None, "the graph extracts only where collect made a dataset"
    dataset = context.memory.get_dataset(dataset_id)
    vector_ids: dict[str, str] = {}
    evidence: list[SiteEvidence] = []
    # Sites that read the same tokens share the pass, the vector and the evidence.
    for selector, sites in groupby(sites_of(dataset), key=lambda site: SITES[site].read):
        activations = capture_pairs(context.student, dataset, selector=selector)
        vector = extract_vector(
            context.student, dataset, method=method, selector=selector, activations=activations
        )
        vector_id = context.memory.put_vector(vector)
        rows = layer_evidence(activations, method, seed=seed)
        stable = stability(activations, method, RESAMPLES, seed).tolist()
        for site in sites:
            vector_ids[site] = vector_id
            evidence += [
                SiteEvidence(site=site, stability=cosine, **row.model_dump())
                for row, cosine in zip(rows, stable, strict=True)
            ]
    return vector_ids, evidence
