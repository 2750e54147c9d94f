"""What a steering vector is made of: least squares on other vectors of the same student.

Every layer is measured in the target's residual norms, so that none counts for more because its
activations are long. One coefficient holds for all layers of a vector, as in a sum. Nothing is
shrunk: a vector that is a sum of the others gets the weights of that sum. Coefficients are only
determined for independent vectors, so those that lie in the span of earlier ones are set aside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.vector_checks import check_family
from selfsteer.steering.vectors import SteeringVector

# Share of its length that a vector must have outside the span of those before it: float32
# directions of an exact sum leave about 1e-7.
_INDEPENDENT = 1e-5


@dataclass(frozen=True)
class Decomposition:
    """A vector as a weighted sum of others, and what that leaves open.

    Attributes:
        coefficients: the weight of the raw directions of each independent vector, by id.
        dependent: ids of vectors that earlier ones already span.
        unfit: ids of vectors without some layer of the target, or zero at all of them.
        residual: the share of the target's norm that is not explained, over all layers.
        layer_residuals: the same, of the one sum, for each layer; 0 where the target is zero.
        free_residuals: what each layer leaves when it may have coefficients of its own. Turns and
            projections mix their parents differently at each layer, so that no one sum tells them.
        by_chance: the residual that as many random directions would leave, on average.
    """

    coefficients: dict[str, float]
    dependent: tuple[str, ...]
    unfit: tuple[str, ...]
    residual: float
    layer_residuals: dict[int, float]
    free_residuals: dict[int, float]
    by_chance: float


def decompose(target: SteeringVector, library: Sequence[SteeringVector]) -> Decomposition:
    """Explain ``target`` by the vectors of ``library``, those that come first before the others.

    Raises:
        VectorError: a vector of another student or width, or a target that is zero at all layers.
    """
    for vector in library:
        _check_comparable(target, vector)
    wanted = _flat(target, target)
    if not wanted.any():
        raise VectorError(f"Vector {target.id} is zero at every layer; nothing explains it.")
    fitting = {v.id: _flat(v, target) for v in library if set(target.layers) <= set(v.layers)}
    fitting = {name: row for name, row in fitting.items() if row.any()}
    independent = _independent(fitting)
    # The target stands along, so that there is a shape where nothing is independent.
    rows = torch.stack([*(fitting[name] for name in independent), wanted])[:-1]
    coefficients = _fit(rows, wanted)
    rest = wanted - coefficients @ rows
    # [L, N, D], [L, D]: each layer on its own
    shape = (len(target.layers), target.d_model)
    rows_of = rows.reshape(len(rows), *shape).transpose(0, 1)
    wanted_of, rest_of = wanted.reshape(shape), rest.reshape(shape)
    return Decomposition(
        coefficients=dict(zip(independent, coefficients.tolist(), strict=True)),
        dependent=tuple(name for name in fitting if name not in independent),
        unfit=tuple(v.id for v in library if v.id not in fitting),
        residual=_share(rest, wanted),
        layer_residuals={
            layer: _share(left, whole)
            for layer, left, whole in zip(target.layers, rest_of, wanted_of, strict=True)
        },
        free_residuals={
            layer: _share(whole - _fit(here, whole) @ here, whole)
            for layer, here, whole in zip(target.layers, rows_of, wanted_of, strict=True)
        },
        by_chance=math.sqrt(max(0.0, 1 - len(independent) / len(wanted))),
    )


def similarity(left: SteeringVector, right: SteeringVector) -> float | None:
    """The mean cosine over the layers at which both point somewhere; None where there is none.

    Raises:
        VectorError: vectors of different students or widths.
    """
    _check_comparable(left, right)
    cosines = [
        float(torch.cosine_similarity(here.double(), right.directions[layer].double(), dim=0))
        for layer, here in left.directions.items()
        if layer in right.layers and here.any() and right.directions[layer].any()
    ]
    return fmean(cosines) if cosines else None


def similarities(
    rows: Sequence[SteeringVector], columns: Sequence[SteeringVector]
) -> list[list[float]]:
    """[rows][columns] the mean cosines over the layers, which all must have and point at.

    Raises:
        VectorError: vectors of different students, layers or widths.
    """
    check_family([*rows, *columns])
    left, right = _units(rows), _units(columns)
    cosines: list[list[float]] = (left.flatten(1) @ right.flatten(1).mT / left.shape[1]).tolist()
    return cosines


def _units(vectors: Sequence[SteeringVector]) -> Tensor:
    """[N, L, D] the directions with length 1, float64."""
    stacked = torch.stack([torch.stack([*vector.directions.values()]) for vector in vectors])
    units: Tensor = torch.nn.functional.normalize(stacked.double(), dim=-1)
    return units


def _check_comparable(left: SteeringVector, right: SteeringVector) -> None:
    """Refuse vectors of different students or widths; layers may differ."""
    if (left.student_fingerprint, left.d_model) != (right.student_fingerprint, right.d_model):
        raise VectorError(
            f"Vectors {left.id} and {right.id} come from different students and cannot be compared."
        )


def _flat(vector: SteeringVector, target: SteeringVector) -> Tensor:
    """[L * D] the directions at the target's layers, in the target's residual norms, float64."""
    return torch.cat(
        [
            vector.directions[layer].double() / target.residual_norms[layer]
            for layer in target.layers
        ]
    )


def _independent(rows: dict[str, Tensor]) -> list[str]:
    """The names of those rows that lie outside the span of the ones before them."""
    width = len(next(iter(rows.values()), torch.empty(0)))
    basis = torch.empty(0, width, dtype=torch.float64)
    names: list[str] = []
    for name, row in rows.items():
        if len(basis) == width:
            break
        rest = row / row.norm()
        for _ in range(2):  # once more, because the first time leaves rounding along the basis
            rest = rest - rest @ basis.mT @ basis
        if rest.norm() > _INDEPENDENT:
            names.append(name)
            basis = torch.cat([basis, (rest / rest.norm())[None]])
    return names


def _fit(rows: Tensor, wanted: Tensor) -> Tensor:
    """[N] the weights of ``rows`` [N, D] whose sum is nearest to ``wanted`` [D].

    Of rows that are dependent, as they may be at a single layer, the smallest weights are taken.
    """
    if not len(rows):
        return torch.empty(0, dtype=torch.float64)
    lengths = rows.norm(dim=1)
    lengths = lengths.where(lengths > 0, 1)
    units = (rows / lengths[:, None]).mT
    # gelsd, because it tells dependent rows; what float32 rounding adds to them is no direction
    fit = torch.linalg.lstsq(units, wanted[:, None], rcond=_INDEPENDENT, driver="gelsd")
    weights: Tensor = fit.solution[:, 0] / lengths
    return weights


def _share(rest: Tensor, whole: Tensor) -> float:
    return float(rest.norm() / whole.norm()) if whole.any() else 0.0
