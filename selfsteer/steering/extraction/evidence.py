"""How well a direction tells the two sides apart, layer by layer, on pairs that it has not seen.

A good detector need not be a good steerer: this is evidence for where to look, never a verdict.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.registry import extract
from selfsteer.steering.metrics.auroc import auroc


class LayerEvidence(BaseModel):
    """What the activations of one layer say.

    Attributes:
        layer: layer number.
        norm: length of the direction from all pairs.
        auroc: area under the ROC curve of held-out projections; 0.5 is chance.
        effect_size: Cohen's d of held-out projections (difference of means over pooled standard
            deviation).
        residual_norm: mean L2 norm of the residual at the selected tokens.
    """

    model_config = ConfigDict(frozen=True)

    layer: int
    norm: float
    auroc: float
    effect_size: float
    residual_norm: float


def layer_evidence(
    activations: ContrastiveActivations,
    method: str = "mean_difference",
    *,
    folds: int = 5,
    seed: int = 0,
) -> list[LayerEvidence]:
    """Cross-validated evidence for each layer, in the order of ``activations.layers``.

    The pairs are dealt into ``folds`` parts at random; both sides of a pair stay together. For each
    part the direction is estimated anew by ``method`` on the other parts.

    Raises:
        DatasetError: fewer than two pairs, or fewer than two folds.
        VectorError: the method is unknown.
    """
    if activations.n_pairs < 2 or folds < 2:
        raise DatasetError(
            f"Cross-validation needs two pairs and two folds at least; there are "
            f"{activations.n_pairs} pairs and {folds} folds."
        )
    norms = extract(method, activations).norm(dim=-1).tolist()
    positive, negative = _held_out_projections(activations, method, folds, seed)
    areas = auroc(positive, negative).tolist()
    effects = _cohens_d(positive, negative).tolist()
    residual_norms = activations.residual_norms.tolist()
    rows = zip(activations.layers, norms, areas, effects, residual_norms, strict=True)
    return [
        LayerEvidence(
            layer=layer, norm=norm, auroc=area, effect_size=effect, residual_norm=residual
        )
        for layer, norm, area, effect, residual in rows
    ]


def _held_out_projections(
    activations: ContrastiveActivations, method: str, folds: int, seed: int
) -> tuple[Tensor, Tensor]:
    """``[L, N]`` for each side: coordinates along a unit direction of the other folds.

    They are taken relative to the training midpoint, so that folds with different directions share
    one origin. A layer without any difference has coordinate 0 everywhere.
    """
    n = activations.n_pairs
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    fold_of = torch.empty(n, dtype=torch.long)
    fold_of[order] = torch.arange(n) % folds
    fold_of = fold_of.to(activations.positive.device)
    positive = activations.positive.new_zeros(activations.positive.shape[:2])
    negative = torch.zeros_like(positive)
    for fold in range(min(folds, n)):
        held_out = fold_of == fold
        training = activations.select(~held_out)
        direction = extract(method, training)
        unit = torch.nn.functional.normalize(direction, dim=-1)
        middle = (training.positive.mean(1) + training.negative.mean(1)) / 2
        for side, values in ((positive, activations.positive), (negative, activations.negative)):
            centred = values[:, held_out] - middle[:, None]
            side[:, held_out] = torch.einsum("lnd,ld->ln", centred, unit)
    return positive, negative


def _cohens_d(positive: Tensor, negative: Tensor) -> Tensor:
    """``[L, N]`` twice -> ``[L]``. The pooled deviation is kept above rounding error, so that two
    sides without any spread give a large number rather than infinity."""
    pooled = ((positive.var(dim=-1) + negative.var(dim=-1)) / 2).sqrt()
    scale = torch.maximum(positive.abs().amax(-1), negative.abs().amax(-1))
    limits = torch.finfo(pooled.dtype)
    floor = (scale * limits.eps).clamp_min(limits.tiny)
    return (positive.mean(-1) - negative.mean(-1)) / torch.maximum(pooled, floor)
