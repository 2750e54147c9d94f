"""Judging without a language model: a linear read-out of the unsteered student's activations.

Fisher's discriminant along the mean difference of the pairs that were given, at the layer that
separates held-out pairs best. It reads replies with the hooks off; the steering that it judges
acted at generation time only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.agents.sites import SITES, sites_of
from selfsteer.agents.types import Sample, Verdict
from selfsteer.steering.capture import capture
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.evidence import layer_evidence
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt


@dataclass(frozen=True)
class Probe:
    """A fitted read-out: probability = sigmoid(slope * (projection - threshold)).

    Attributes:
        layer: where activations are read.
        direction: [D] unit length.
        threshold: the midpoint of the two sides.
        slope: log-odds per unit, for two normal sides of equal spread.
    """

    layer: int
    direction: Tensor
    threshold: float
    slope: float


def fit_probe(student: Student, dataset: ContrastiveDataset) -> Probe:
    """Fit on a dataset's completions, read without their instructions, or on its bare texts.

    Raises:
        DatasetError: fewer than two pairs.
    """
    selector = SITES[sites_of(dataset)[0]].read
    activations = capture_pairs(student, _without_instructions(dataset), selector=selector)
    best = max(layer_evidence(activations), key=lambda row: (row.auroc, row.effect_size))
    index = activations.layers.index(best.layer)
    positive, negative = activations.positive[index], activations.negative[index]
    difference = positive.mean(0) - negative.mean(0)
    direction = difference / difference.norm()
    sides = (positive @ direction, negative @ direction)
    variance = float(sum(side.var() for side in sides) / 2)
    gap = float(sides[0].mean() - sides[1].mean())
    return Probe(
        layer=best.layer,
        direction=direction,
        threshold=float(sides[0].mean() + sides[1].mean()) / 2,
        slope=gap / max(variance, 1e-6),
    )


def probe_verdicts(student: Student, probe: Probe, samples: Sequence[Sample]) -> list[Verdict]:
    """The probe's probability for every reply; an empty reply gets 0."""
    spoken = [(i, s) for i, s in enumerate(samples) if s.reply.strip()]
    scores = [0.0] * len(samples)
    if spoken:
        examples = [Example(prompt=Prompt.chat(s.prompt), completion=s.reply) for _, s in spoken]
        values = capture(student, examples, layers=[probe.layer]).values[0]
        odds = probe.slope * (values @ probe.direction - probe.threshold)
        for (index, _), score in zip(spoken, torch.sigmoid(odds).tolist(), strict=True):
            scores[index] = score
    return [Verdict(score=score) for score in scores]


def _without_instructions(dataset: ContrastiveDataset) -> ContrastiveDataset:
    def bare(example: Example) -> Example:
        if example.prompt.text is not None:
            return example
        turns = tuple(m for m in example.prompt.messages if m.role != "system")
        return example.model_copy(update={"prompt": Prompt(messages=turns)})

    pairs = tuple(
        pair.model_copy(update={"positive": bare(pair.positive), "negative": bare(pair.negative)})
        for pair in dataset.pairs
    )
    return dataset.model_copy(update={"pairs": pairs})
