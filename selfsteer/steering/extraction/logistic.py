"""Logistic probe: logistic regression with an L2 penalty, by Newton's method on all layers at once.

The problem is ``min |w|^2 / 2 + sum log(1 + exp(-y (x @ w + b)))``, with all coordinates divided by
one common scale (their root mean square deviation) and a free intercept. It is strictly convex, and
where there are fewer texts than coordinates it is solved in the space that the texts span.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from selfsteer.errors import VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.labelled_rows import LabelledRows

_STEPS = 100
_HALVINGS = 40
_DECREMENT = 1e-18
"""Per text: the loss is then within this of its minimum, and the weights within its root."""


def logistic(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, the decision normal, as long as the means are apart along it.

    It is the direction that tells the sides apart, and turns away from whatever else varies; it is
    not what differs between them, which :func:`logistic_shift` is.

    Raises:
        VectorError: the solver did not converge at some layer.
    """
    rows = LabelledRows.of(activations)
    return rows.decision_normal(logistic_weights(rows))


def logistic_shift(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, how the activations move with the probe's score, from side to side.

    Raises:
        VectorError: the solver did not converge at some layer.
    """
    rows = LabelledRows.of(activations)
    return rows.data_shift(logistic_weights(rows))


def logistic_weights(rows: LabelledRows, steps: int = _STEPS) -> Tensor:
    """``[L, D]``: the weights at the minimum, in the scaled coordinates.

    Raises:
        VectorError: a layer needs more than ``steps`` steps.
    """
    values, basis = rows.compressed()
    values = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)
    penalty = torch.ones_like(values[0, 0])
    penalty[-1] = 0  # the intercept is free
    weights = values.new_zeros(values.shape[0], values.shape[-1])
    for _ in range(steps):
        step, decrement = _newton_step(values, rows.labels, penalty, weights)
        if bool((decrement <= _DECREMENT * len(rows.labels)).all()):
            coordinates = weights[:, :-1, None]
            return (coordinates if basis is None else basis @ coordinates)[..., 0]
        weights = _descend(values, rows.labels, penalty, weights, step, decrement)
    raise VectorError(
        f"The logistic probe did not converge in {steps} steps; are some activations far larger "
        "than the rest?"
    )


def _newton_step(
    values: Tensor, labels: Tensor, penalty: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The step ``[L, R]`` towards the minimum and the squared Newton decrement ``[L]``."""
    margins = labels * torch.einsum("lnr,lr->ln", values, weights)
    wrong = torch.sigmoid(-margins)
    gradient = torch.einsum("lnr,ln->lr", values, -labels * wrong) + penalty * weights
    curvature = (wrong * torch.sigmoid(margins))[..., None]
    hessian = values.mT @ (curvature * values) + torch.diag(penalty)
    step = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(hessian))[..., 0]
    return step, (gradient * step).sum(dim=-1)


def _descend(
    values: Tensor,
    labels: Tensor,
    penalty: Tensor,
    weights: Tensor,
    step: Tensor,
    decrement: Tensor,
) -> Tensor:
    """Take each layer's step, halved until its loss falls enough (Armijo's rule)."""

    def loss(at: Tensor) -> Tensor:
        margins = labels * torch.einsum("lnr,lr->ln", values, at)
        return softplus(-margins).sum(dim=-1) + (penalty * at.square()).sum(dim=-1) / 2

    start = loss(weights)
    rounding = 1e-14 * start
    length = torch.ones_like(decrement)
    for _ in range(_HALVINGS):
        too_far = loss(weights - length[:, None] * step) > (
            start - length * decrement / 4 + rounding
        )
        if not bool(too_far.any()):
            break
        length = torch.where(too_far, length / 2, length)
    return weights - length[:, None] * step
