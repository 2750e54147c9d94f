"""Vectors that mean nothing, put through the loop's own acceptance.

Half are random directions; half are the goal's own data with the sides of its pairs swapped at
random. They act where, how and as strongly as the vector that was accepted.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import torch

from selfsteer.agents.context import Context
from selfsteer.agents.nodes.confirm import confirm
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.self_controller import SelfController
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.types import CandidateSpec
from selfsteer.memory.store import Memory
from selfsteer.steering.capability import bundled_capability
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.model import Student
from selfsteer.steering.vectors import SteeringVector


def random_vector(like: SteeringVector, seed: int) -> SteeringVector:
    """Random directions, as long as those of `like`, which they say that they come from."""
    draw = torch.Generator().manual_seed(seed)
    directions = {}
    for layer, direction in like.directions.items():
        noise = torch.randn(direction.shape, generator=draw)
        directions[layer] = noise / noise.norm() * direction.norm()
    return replace(like, directions=directions, method="random")


def shuffled_vector(
    student: Student, memory: Memory, like: SteeringVector, seed: int
) -> SteeringVector:
    """The same method on the same pairs, half of them the wrong way round, in random order."""
    dataset = memory.get_dataset(like.dataset_id)
    rng = Random(f"shuffled-{seed}")
    turned = set(rng.sample(range(len(dataset.pairs)), len(dataset.pairs) // 2))
    pairs = tuple(
        ContrastivePair(positive=pair.negative, negative=pair.positive) if i in turned else pair
        for i, pair in enumerate(dataset.pairs)
    )
    shuffled = ContrastiveDataset(concept=dataset.concept, pairs=pairs)
    memory.put_dataset(shuffled)
    return extract_vector(student, shuffled, method=like.method, selector=like.selector)


def accepted(
    student: Student,
    memory: Memory,
    settings: RunSettings,
    vector: SteeringVector,
    spec: CandidateSpec,
) -> bool:
    """Whether the loop's confirmation accepts the vector for the goal."""
    controller = SelfController(student)
    run = memory.runs.start(
        settings.goal.text,
        student=student.name,
        fingerprint=student.fingerprint,
        controller="control",
        seed=settings.seed,
        settings=settings.model_dump(mode="json"),
    )
    context = Context(
        run_id=run.id,
        settings=settings,
        student=student,
        memory=memory,
        controller=controller,
        probes=deal_probes(settings.seed),
        capability=bundled_capability("pocket"),
        listener=lambda kind, payload: None,
    )
    state = confirm(
        {
            "recalled": None,
            "decision": {"candidate": spec.model_dump()},
            "vector_ids": {spec.site: memory.put_vector(vector)},
        },
        context,
    )
    return bool(state["verdict"]["status"] == "accepted")
