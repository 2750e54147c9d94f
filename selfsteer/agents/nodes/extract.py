"""From the round's dataset to a vector for each site, and the evidence for every layer."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from selfsteer.agents.context import Context
from selfsteer.agents.sites import SITES, sites_of
from selfsteer.agents.state import LoopState
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.evidence import layer_evidence
from selfsteer.steering.extraction.extract import extract_vector


def extract(state: LoopState, context: Context) -> LoopState:
    """Directions and held-out evidence of a site come from the same activations."""
    number, method = state["round"], state.get("method") or context.settings.method
    dataset_id = state["dataset_id"]
    assert dataset_id is not None, "the graph extracts only where collect made a dataset"
    dataset = context.memory.get_dataset(dataset_id)
    vector_ids: dict[str, str] = {}
    evidence: list[dict[str, Any]] = []
    # Sites that read the same tokens share the pass, the vector and the evidence.
    for selector, sites in groupby(sites_of(dataset), key=lambda site: SITES[site].read):
        activations = capture_pairs(context.student, dataset, selector=selector)
        vector = extract_vector(
            context.student, dataset, method=method, selector=selector, activations=activations
        )
        vector_id = context.memory.put_vector(vector)
        rows = layer_evidence(activations, method, seed=context.seed("evidence", number))
        for site in sites:
            vector_ids[site] = vector_id
            evidence += [{"site": site, **row.model_dump()} for row in rows]
    context.emit(
        "extracted",
        f"extract/{number}",
        {"round": number, "vectors": vector_ids, "method": method, "evidence": evidence},
    )
    return {"vector_ids": vector_ids, "evidence": evidence}
