"""Activations of which it is known what a method should find, and what it does find.

The tests hold these numbers to their bounds, and `make conformance` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.leace import leace
from selfsteer.steering.extraction.registry import extract

SHIFT = (
    "mean_difference",
    "pca",
    "uncentred_pca",
    "spherical_pca",
    "logistic_shift",
    "ridge_shift",
    "factorial",
)
"""These estimate what differs between the sides, the shift of the mean."""
NORMAL = ("lda", "logistic", "ridge")
"""These estimate another thing, the normal that tells the sides apart."""
SHIFT_OF_A_POPULATION = ("mean_difference", "logistic_shift", "ridge_shift")
"""Those of `SHIFT` that need no pairs."""

Planted = tuple[ContrastiveActivations, Tensor]

_PAIRS, _WIDTH = 20_000, 8


def planted_direction(
    noise: float = 0.1, pairs: int = 64, width: int = 256, layers: int = 2, seed: int = 0
) -> Planted:
    """Activations, and the unit direction ``[L, D]`` by which their sides differ.

    Every pair has a large part in common; ``noise`` is the deviation of each coordinate of the
    difference of a pair.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    truth = torch.nn.functional.normalize(normal(layers, width), dim=-1)
    common = 3 * normal(layers, pairs, width) + 5
    side = noise / 2**0.5
    positive = common + truth[:, None] / 2 + side * normal(layers, pairs, width)
    negative = common - truth[:, None] / 2 + side * normal(layers, pairs, width)
    norms = positive.norm(dim=-1).mean(dim=1)
    return ContrastiveActivations(tuple(range(layers)), positive, negative, norms), truth


def recovered(method: str, seed: int) -> float:
    """The cosine of what a method finds with the planted direction, at its worst layer."""
    activations, truth = planted_direction(noise=0.1, pairs=64, width=256, seed=seed)
    return float(cosine_similarity(extract(method, activations), truth, dim=-1).min())


@dataclass(frozen=True)
class Population:
    """Two normal populations with means `m` and `m + shift` and one covariance C.

    The normal of the best linear decision is ``C^-1 shift``, and what differs is ``shift``. The two
    are well apart here, so that one cannot pass for the other.

    Attributes:
        sample: 20,000 texts a side.
        shift: ``[D]`` float64.
        covariance: ``[D, D]`` float64.
    """

    sample: ContrastiveActivations
    shift: Tensor
    covariance: Tensor

    @property
    def normal(self) -> Tensor:
        """``[D]`` float64."""
        return torch.linalg.solve(self.covariance, self.shift)

    def cosine(self, method: str) -> float:
        """Of what a method finds with what it estimates."""
        target = self.normal if method in NORMAL else self.shift
        found = extract(method, self.sample)[0].double()
        return float(cosine_similarity(found, target, dim=0))


def population() -> Population:
    """Noise whose deviations range from 1 to 4, in directions of its own."""
    generator = torch.Generator().manual_seed(0)
    deviations = torch.logspace(0, 0.6, _WIDTH, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(_WIDTH, _WIDTH, generator=generator).double()).Q
    root = turn * deviations  # C = root root^T
    shift = turn @ torch.ones(_WIDTH, dtype=torch.float64)

    def side() -> Tensor:
        normal = torch.randn(1, _PAIRS, _WIDTH, generator=generator, dtype=torch.float64)
        return 5 + normal @ root.T

    sample = ContrastiveActivations((0,), (side() + shift).float(), side().float(), torch.ones(1))
    return Population(sample, shift, root @ root.T)


def left_by_erasure() -> float:
    """How far apart the classes of a population are when an eraser of a sample was at it.

    In deviations, at the worst of six coordinates; before it was 1 at the first.
    """
    generator = torch.Generator().manual_seed(3)
    deviations = torch.logspace(0, 1, 6, dtype=torch.float64)

    def draw(n: int) -> tuple[Tensor, list[int]]:
        labels = [0, 1] * (n // 2)
        normal = torch.randn(1, n, 6, generator=generator, dtype=torch.float64)
        return normal * deviations + torch.tensor(labels)[:, None], labels

    eraser = leace(*draw(_PAIRS))
    erased = eraser(draw(_PAIRS)[0])
    difference = erased[0, 1::2].mean(dim=0) - erased[0, 0::2].mean(dim=0)
    return float((difference / deviations).abs().max())
