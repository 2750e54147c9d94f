"""The activations of a contrastive dataset, pair by pair: what every method reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.capture import ReadAs, Reduce, capture
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.model import Student
from selfsteer.steering.selectors import Selector

# Of the residual norm. Equal rows of one batch may differ by a few units in the last place of
# float32, as matrix products go through their rows in blocks; no contrast is that small.
ROUNDING = 1e-5


@dataclass(frozen=True)
class ContrastiveActivations:
    """Activations of both sides, where row n of each side is pair n.

    Attributes:
        layers: layer numbers, L of them.
        positive: ``[L, N, D]`` float32.
        negative: ``[L, N, D]`` float32.
        residual_norms: ``[L]``, the mean L2 norm of the residual at the selected tokens over both
            sides, every text counting the same. Norms of single tokens: they cannot be had from
            activations that are means over tokens.
        read: what was read; None where it is not known.

    Raises:
        DatasetError: shapes that do not fit, no pairs, NaN or infinite values.
    """

    layers: tuple[int, ...]
    positive: Tensor
    negative: Tensor
    residual_norms: Tensor
    read: ReadAs | None = None

    def __post_init__(self) -> None:
        shape = self.positive.shape
        if self.positive.ndim != 3 or self.negative.shape != shape:
            raise DatasetError(
                "Both sides of a contrast should have shape [layers, pairs, d_model]; they have "
                f"{list(shape)} and {list(self.negative.shape)}."
            )
        if shape[0] != len(self.layers) or self.residual_norms.shape != (len(self.layers),):
            raise DatasetError(
                f"{len(self.layers)} layers are named, but there are activations of {shape[0]} "
                f"and residual norms of shape {list(self.residual_norms.shape)}."
            )
        if shape[1] == 0:
            raise DatasetError("There are no pairs to extract a direction from.")
        for side in ("positive", "negative", "residual_norms"):
            if not torch.isfinite(getattr(self, side)).all():
                raise DatasetError(
                    f"The {side} activations hold NaN or infinite values; try a student dtype of "
                    "float32 or bfloat16."
                )

    @property
    def n_pairs(self) -> int:
        """The number of pairs, N."""
        return int(self.positive.shape[1])

    def differences(self) -> Tensor:
        """``[L, N, D]`` float64, positive minus negative, pair by pair."""
        return self.positive.double() - self.negative.double()

    @property
    def alike(self) -> bool:
        """Whether nothing but rounding is between the two sides of any pair."""
        lengths = self.differences().norm(dim=-1)
        return bool((lengths <= ROUNDING * self.residual_norms[:, None]).all())

    def select(self, pairs: Tensor) -> ContrastiveActivations:
        """The same layers for some of the pairs; ``pairs`` is an index tensor or a mask ``[N]``."""
        return ContrastiveActivations(
            self.layers,
            self.positive[:, pairs],
            self.negative[:, pairs],
            self.residual_norms,
            self.read,
        )


def capture_pairs(
    student: Student,
    dataset: ContrastiveDataset,
    *,
    selector: str | Selector = "response",
    reduce: Reduce = "mean",
    layers: Sequence[int] | None = None,
    token_budget: int | None = None,
) -> ContrastiveActivations:
    """Read both sides of a dataset in one pass; every extraction method can share the result.

    Args:
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        reduce: the mean of the selected tokens of a text, or the last of them.
        layers: layer numbers; None for all blocks.
        token_budget: tokens per forward, pads included; None for what suits the device.

    Raises:
        SelectorError: a text has no selected token, or `reduce` is unknown.
        StudentError: a layer does not exist.
        DatasetError: activations that are NaN or infinite.
    """
    n = len(dataset.pairs)
    examples = dataset.positives + dataset.negatives
    both = capture(student, examples, layers, selector, reduce, token_budget)
    return ContrastiveActivations(
        layers=both.layers,
        positive=both.values[:, :n],
        negative=both.values[:, n:],
        residual_norms=both.norms.mean(dim=1),
        read=both.read,
    )
