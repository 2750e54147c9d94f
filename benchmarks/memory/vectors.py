"""Random vectors, the same in every run, made some at a time: all at once would fill the memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from selfsteer.steering.vectors import SteeringVector

FINGERPRINT = "f" * 64
LAYERS, WIDTH = 4, 1024


def batches(count: int, at_once: int) -> Iterator[list[SteeringVector]]:
    """`count` vectors of 4 layers x 1,024, in lists of `at_once`."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        numbers = torch.randn(size, LAYERS, WIDTH, generator=generator)
        yield [vector_of(rows, f"trait {start + n}") for n, rows in enumerate(numbers)]


def vector_of(rows: torch.Tensor, concept: str) -> SteeringVector:
    """A vector with the rows ``[layers, width]`` as its directions."""
    return SteeringVector(
        directions=dict(enumerate(rows)),
        residual_norms=dict.fromkeys(range(len(rows)), 1.0),
        method="mean_difference",
        selector="response",
        concept=concept,
        dataset_id="d" * 16,
        student_fingerprint=FINGERPRINT,
    )
