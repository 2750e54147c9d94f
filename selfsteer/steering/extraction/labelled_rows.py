"""Both sides of a contrast as labelled rows, for methods that know sides but no pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.components import along


@dataclass(frozen=True)
class LabelledRows:
    """The texts of both sides in one column, at one common scale a layer.

    Attributes:
        values: ``[L, 2N, D]`` float64, all positive texts first, about their mean and divided by
            the root mean square deviation of a coordinate. That is one number a layer: it makes a
            penalty mean the same at every layer, and leaves all angles as they are.
        labels: ``[2N]`` float64, 1 and -1.
        differences: ``[L, N, D]`` float64, positive minus negative, as they are.
    """

    values: Tensor
    labels: Tensor
    differences: Tensor

    @classmethod
    def of(cls, activations: ContrastiveActivations) -> LabelledRows:
        """The rows of a contrast."""
        values = torch.cat([activations.positive, activations.negative], dim=1).double()
        values -= values.mean(dim=1, keepdim=True)
        scale = values.square().mean(dim=(1, 2), keepdim=True).sqrt()
        labels = values.new_ones(values.shape[1])
        labels[activations.n_pairs :] = -1
        return cls(values / scale.where(scale > 0, 1), labels, activations.differences())

    def compressed(self) -> tuple[Tensor, Tensor | None]:
        """The rows in coordinates of the space that they span, where that is the smaller one.

        Returns:
            ``[L, 2N, R]`` with R = min(2N, D), and the basis ``[L, D, R]`` with orthonormal
            columns that leads back; None where the coordinates are the activations' own.
        """
        if self.values.shape[1] >= self.values.shape[2]:
            return self.values, None
        basis, coordinates = torch.linalg.qr(self.values.mT)
        return coordinates.mT, basis

    def decision_normal(self, weights: Tensor) -> Tensor:
        """A probe's weights ``[L, D]`` as a direction: the distance of the means along them."""
        return along(weights, self.differences.mean(dim=1))

    def data_shift(self, weights: Tensor) -> Tensor:
        """What a pair's activations move by while its score goes from the one side to the other.

        With the difference ``d`` of a pair and the difference ``s = d @ weights`` of its scores,
        this is ``mean(d s) / mean(s^2)``, the slope of the activations over the score, times the
        mean of ``s``. Where noise has covariance C and the weights are ``C^-1 shift``, it is the
        shift again. With uncorrelated coordinates the slope is each weight times the variance of
        its coordinate: the weight in standardised units times the coordinate's deviation.

        Source: Haufe et al., "On the interpretation of weight vectors of linear models in
        multivariate neuroimaging" (2014), who take the covariance over single rows; within pairs,
        what both sides share cannot leak in.
        """
        scores = torch.einsum("lnd,ld->ln", self.differences, weights)
        spread = scores.square().mean(dim=1, keepdim=True)
        slope = torch.einsum("lnd,ln->ld", self.differences, scores) / scores.shape[1]
        return slope / spread.where(spread > 0, 1) * scores.mean(dim=1, keepdim=True)
