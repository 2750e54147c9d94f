"""Both sides of a contrast as running moments: extraction in memory that does not grow with texts.

Some methods need no more than the mean of each side, or its mean and second moment. They can then
read any number of texts: nothing is kept per text. Either every text counts the same, as in
:class:`ContrastiveActivations`, or every selected token does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.capture import Moments, ReadAs, Reduce, capture_group_moments
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.activations import ROUNDING
from selfsteer.steering.extraction.components import along
from selfsteer.steering.extraction.lda import whiten_by
from selfsteer.steering.model import Student
from selfsteer.steering.selectors import Selector


@dataclass(frozen=True)
class ContrastiveMoments:
    """Moments of both sides over the same layers.

    Raises:
        DatasetError: layers or widths that differ, NaN or infinite values.
    """

    positive: Moments
    negative: Moments

    def __post_init__(self) -> None:
        if (
            self.positive.layers != self.negative.layers
            or self.positive.mean.shape != self.negative.mean.shape
        ):
            raise DatasetError(
                "Both sides of a contrast should have moments of the same layers and width; they "
                f"are of layers {list(self.positive.layers)} and {list(self.negative.layers)}."
            )
        for side in (self.positive, self.negative):
            second = side.mean if side.second is None else side.second
            if not all(torch.isfinite(values).all() for values in (side.mean, second, side.norm)):
                raise DatasetError(
                    "The moments hold NaN or infinite values; try a student dtype of float32 or "
                    "bfloat16."
                )

    @property
    def layers(self) -> tuple[int, ...]:
        """Layer numbers, L of them."""
        return self.positive.layers

    @property
    def read(self) -> ReadAs | None:
        """What was read; None where it is not known."""
        return self.positive.read

    @property
    def n(self) -> int:
        """The number of tokens of both sides, or of texts."""
        return self.positive.n + self.negative.n

    @property
    def residual_norms(self) -> Tensor:
        """``[L]``, the mean L2 norm over both sides, every side counting the same."""
        return (self.positive.norm + self.negative.norm) / 2

    @property
    def alike(self) -> bool:
        """Whether nothing but rounding is between the means of both sides."""
        return bool((self.shift().norm(dim=-1) <= ROUNDING * self.residual_norms).all())

    def shift(self) -> Tensor:
        """``[L, D]`` float64, the mean of the positive side minus that of the negative side."""
        return self.positive.mean.double() - self.negative.mean.double()


def capture_pair_moments(
    student: Student,
    dataset: ContrastiveDataset,
    *,
    selector: str | Selector = "response",
    layers: Sequence[int] | None = None,
    reduce: Reduce | None = None,
    second: bool = False,
) -> ContrastiveMoments:
    """Read both sides of a dataset into their moments, in one pass.

    Args:
        selector: which tokens; see :mod:`selfsteer.steering.selectors`.
        layers: layer numbers; None for all blocks.
        reduce: every text counts once, by the mean of its selected tokens or the last of them;
            None: every selected token counts once.
        second: also the second moments, d_model squared values a layer, which `lda` needs.

    Raises:
        SelectorError: a text has no selected token.
        StudentError: a layer does not exist.
        DatasetError: activations that are NaN or infinite.
    """
    sides = (dataset.positives, dataset.negatives)
    return ContrastiveMoments(
        *capture_group_moments(student, sides, layers, selector, reduce=reduce, second=second)
    )


def mean_difference_of_moments(moments: ContrastiveMoments) -> Tensor:
    """``[L, D]``, the mean of the positive side minus the mean of the negative side."""
    return moments.shift()


def lda_of_moments(moments: ContrastiveMoments) -> Tensor:
    """``[L, D]``, as :func:`selfsteer.steering.extraction.lda.lda`, from the sample's moments.

    Raises:
        VectorError: there are no second moments, or they do not hold enough digits.
    """
    scatter: Tensor | None = None
    for side in (moments.positive, moments.negative):
        if side.second is None:
            raise VectorError(
                "Extraction method 'lda' needs second moments; capture them with second=True."
            )
        mean = side.mean.double()
        within = side.n * (side.second.double() - mean[:, :, None] * mean[:, None, :])
        scatter = within if scatter is None else scatter + within
    assert scatter is not None, "there are two sides"
    degrees = max(moments.n - 2, 1)
    shift = moments.shift()
    return along(whiten_by(shift, scatter / degrees, degrees), shift)
