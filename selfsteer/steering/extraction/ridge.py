"""Ridge probe: least squares on the labels 1 and -1 with an L2 penalty.

Source: Hoerl and Kennard, "Ridge regression" (1970). The penalty is 1 with all coordinates divided
by one common scale (their root mean square deviation), and the intercept is free.
"""

from __future__ import annotations

import torch
from torch import Tensor

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.labelled_rows import LabelledRows

PENALTY = 1.0


def ridge(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, the decision normal, as long as the means are apart along it.

    It is the direction that tells the sides apart, and turns away from whatever else varies; it is
    not what differs between them, which :func:`ridge_shift` is.
    """
    rows = LabelledRows.of(activations)
    return rows.decision_normal(ridge_weights(rows))


def ridge_shift(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, how the activations move with the probe's score, from side to side."""
    rows = LabelledRows.of(activations)
    return rows.data_shift(ridge_weights(rows))


def ridge_weights(rows: LabelledRows) -> Tensor:
    """``[L, D]``: the minimum of ``|y - Xw - b|^2 + PENALTY |w|^2``, in the scaled coordinates.

    Solved with the smaller of the two Gram matrices. The sides are of equal size and the rows
    centred, so that the intercept is 0.
    """
    values = rows.values
    _, n, width = values.shape
    eye = torch.eye(min(n, width), dtype=values.dtype, device=values.device)
    if n < width:
        gram = values @ values.mT + PENALTY * eye
        targets = rows.labels.expand(len(values), n)[..., None]
        weights = values.mT @ torch.cholesky_solve(targets, torch.linalg.cholesky(gram))
    else:
        gram = values.mT @ values + PENALTY * eye
        targets = (values.mT @ rows.labels)[..., None]
        weights = torch.cholesky_solve(targets, torch.linalg.cholesky(gram))
    return weights[..., 0]
