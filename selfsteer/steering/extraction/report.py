"""What several methods find at each layer, side by side: evidence, agreement and stability."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import normalize

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.evidence import LayerEvidence, layer_evidence
from selfsteer.steering.extraction.registry import extract


class MethodEvidence(LayerEvidence):
    """One method at one layer: its held-out evidence, and how much the direction owes to chance.

    Attributes:
        method: name of the method.
        stability: mean cosine of the directions from two bootstrap samples of the pairs: 1 where
            any sample gives the same direction, and about 1/2 for the mean of pure noise, because
            two samples have pairs in common.
    """

    method: str
    stability: float


class LayerReport(BaseModel):
    """All methods at one layer.

    Attributes:
        layer: layer number.
        methods: the evidence of each method, in the order asked for.
        cosines: cosine of the directions of each two methods, in the same order.
    """

    model_config = ConfigDict(frozen=True)

    layer: int
    methods: tuple[MethodEvidence, ...]
    cosines: tuple[tuple[float, ...], ...]


def layer_report(
    activations: ContrastiveActivations,
    methods: Sequence[str] = ("mean_difference", "pca", "lda"),
    *,
    folds: int = 5,
    resamples: int = 20,
    seed: int = 0,
) -> list[LayerReport]:
    """The report of each layer, in the order of ``activations.layers``.

    Every method is run on all pairs, on the training part of every fold, and on every bootstrap
    sample, over all layers at once: ``1 + folds + resamples`` times in all.

    Args:
        methods: names of :func:`selfsteer.steering.extraction.registry.methods`.
        folds: parts of the cross-validation; see :func:`layer_evidence`.
        resamples: bootstrap samples of the pairs, the same ones for each method.
        seed: fixes the folds and the samples.

    Raises:
        DatasetError: fewer than two pairs, folds or resamples.
        VectorError: no method, or a method that is unknown.
    """
    if not methods:
        raise VectorError("A report needs the name of one extraction method or more.")
    if resamples < 2:
        raise DatasetError(f"The stability of a direction needs two resamples, not {resamples}.")
    evidence = [layer_evidence(activations, name, folds=folds, seed=seed) for name in methods]
    stabilities = [stability(activations, name, resamples, seed).tolist() for name in methods]
    units = normalize(
        torch.stack([extract(name, activations).double() for name in methods]), dim=-1
    )
    cosines = torch.einsum("mld,nld->lmn", units, units).tolist()
    return [
        LayerReport(
            layer=layer,
            methods=tuple(
                MethodEvidence(method=name, stability=stable[place], **rows[place].model_dump())
                for name, stable, rows in zip(methods, stabilities, evidence, strict=True)
            ),
            cosines=tuple(map(tuple, cosines[place])),
        )
        for place, layer in enumerate(activations.layers)
    ]


def stability(
    activations: ContrastiveActivations, method: str, resamples: int = 20, seed: int = 0
) -> Tensor:
    """``[L]`` float64: the mean cosine of the directions of two bootstrap samples of the pairs.

    Both sides of a pair stay together. The mean over all couples of samples comes from the sum of
    the R unit directions: ``(|sum|^2 - R) / (R (R - 1))``. A layer without any difference has 0.

    Raises:
        VectorError: the method is unknown.
    """
    n = activations.n_pairs
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(activations.positive[:, 0], dtype=torch.float64)
    lengths = total.new_zeros(len(total))
    for _ in range(resamples):
        drawn = torch.randint(n, (n,), generator=generator).to(total.device)
        units = normalize(extract(method, activations.select(drawn)).double(), dim=-1)
        total += units
        lengths += units.square().sum(dim=-1)  # 1, or 0 where there is no direction
    couples: Tensor = (total.square().sum(dim=-1) - lengths) / (resamples * (resamples - 1))
    return couples
