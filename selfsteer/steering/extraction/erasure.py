"""An eraser with its layers and provenance: what is kept in a file, and steered with.

The maps are those of :mod:`selfsteer.steering.extraction.leace`; the operator `erase` carries them
out in a plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor

from selfsteer.errors import PlanError, VectorError
from selfsteer.steering.extraction.leace import Eraser
from selfsteer.steering.formats.parts import content_id, decode_parts, encode_parts, header_of
from selfsteer.steering.formats.saved import Saved
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.vectors import SteeringVector

_FORMAT: Literal["selfsteer.erasure"] = "selfsteer.erasure"
_PARTS = ("mean", "left", "right")
# `right` is as long as the whitening makes it, so that the identity is met to that much less.
_DUAL = 1e-6


@dataclass(frozen=True, eq=False)
class Erasure(Saved):
    """The affine map that erases a concept, layer by layer.

    Two are equal when their ids are, that is when numbers and provenance are the same.

    Attributes:
        layers: layer numbers in ascending order, L of them.
        eraser: the maps, in the order of the layers; float64 on the CPU.
        method: how they were found.
        selector: the tokens that were read.
        concept: what is erased.
        dataset_id: the content hash of the data.
        student_fingerprint: the student whose activations these are.
        notes: further provenance, JSON values only.

    Raises:
        VectorError: no layers or not in order, shapes that do not fit, values that are NaN or
            infinite, `left @ right^T` that is not the identity, notes that are not JSON.
    """

    layers: tuple[int, ...]
    eraser: Eraser
    method: str
    selector: str
    concept: str
    dataset_id: str
    student_fingerprint: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        parts = (getattr(self.eraser, part).detach() for part in _PARTS)
        eraser = Eraser(*(part.to("cpu", torch.float64, copy=True) for part in parts))
        object.__setattr__(self, "eraser", eraser)
        _check(self.layers, eraser)
        try:
            notes = json.loads(json.dumps(dict(self.notes), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise VectorError(f"The notes of an erasure must be JSON ({error}).") from error
        object.__setattr__(self, "notes", notes)

    @property
    def k(self) -> int:
        """The number of dimensions that are taken away."""
        return self.eraser.left.shape[1]

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.eraser.left.shape[2]

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 over the provenance and the numbers."""
        provenance = [self.method, self.selector, self.concept, self.dataset_id]
        record = [*provenance, self.student_fingerprint, list(self.layers), self.notes]
        return content_id(record, (getattr(self.eraser, part) for part in _PARTS))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Erasure) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def to_bytes(self) -> bytes:
        """The erasure as one safetensors file; the same erasure gives the same bytes."""
        header = header_of(self, _FORMAT)
        stacked = ((part, getattr(self.eraser, part)) for part in _PARTS)
        return encode_parts(
            header, {part: dict(zip(self.layers, rows, strict=True)) for part, rows in stacked}
        )

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "The erasure") -> Self:
        """Read :meth:`to_bytes` and verify the id.

        Raises:
            VectorError: not an erasure of ours, a newer schema, truncated, or damaged.
        """
        dtypes = dict.fromkeys(_PARTS, torch.float64)
        header, parts = decode_parts(data, _FORMAT, dtypes, source)
        layers = sorted(parts["mean"])
        try:
            eraser = Eraser(*(_stacked(parts[part], layers) for part in _PARTS))
            erasure = cls(tuple(layers), eraser, **header.provenance)
        except VectorError as error:
            raise VectorError(f"{source} cannot be used: {error}") from error
        if erasure.id != header.id:
            raise VectorError(f"{source} is damaged: its content is not what its id says.")
        return erasure


def erasure_plan(
    erasure: Erasure, layer: int, fraction: float = 1.0, selector: str = "all"
) -> Plan:
    """The plan that erases the concept at one layer: ``x - fraction P (x - mean)``.

    Raises:
        PlanError: the erasure has no such layer, or the fraction is not finite.
        SelectorError: a selector that cannot be read.
    """
    if layer not in erasure.layers:
        raise PlanError(
            f"Erasure {erasure.id} has no layer {layer}; it has {list(erasure.layers)}."
        )
    at = erasure.layers.index(layer)
    named = [
        *((f"taken away {n}", row) for n, row in enumerate(erasure.eraser.left[at])),
        *((f"measured {n}", row) for n, row in enumerate(erasure.eraser.right[at])),
    ]
    if erasure.eraser.mean[at].any():  # where it is zero the map is linear
        named.append(("mean", erasure.eraser.mean[at]))
    first, *others = (_component(erasure, layer, name, row) for name, row in named)
    return Plan((Edit(first, (layer,), fraction, "erase", selector, others=tuple(others)),))


def _component(erasure: Erasure, layer: int, name: str, row: Tensor) -> SteeringVector:
    """One vector of a layer's map; erasing has no use for residual norms."""
    return SteeringVector(
        directions={layer: row},
        residual_norms={layer: 1.0},
        method=erasure.method,
        selector=erasure.selector,
        concept=f"{erasure.concept}, {name}",
        dataset_id=erasure.dataset_id,
        student_fingerprint=erasure.student_fingerprint,
        parents=(erasure.id,),
    )


def _stacked(rows: Mapping[int, Tensor], layers: list[int]) -> Tensor:
    shapes = {tuple(row.shape) for row in rows.values()}
    if len(shapes) != 1:
        raise VectorError(f"An erasure has the same shapes at every layer, not {sorted(shapes)}.")
    return torch.stack([rows[layer] for layer in layers])


def _check(layers: tuple[int, ...], eraser: Eraser) -> None:
    if not layers or list(layers) != sorted(set(layers)) or layers[0] < -1:
        raise VectorError(
            f"The layers of an erasure should be given in order, from -1 on; these are "
            f"{list(layers)}."
        )
    shape = eraser.left.shape
    fits = eraser.left.ndim == 3 and eraser.right.shape == shape and eraser.left.numel()
    if not fits or shape[0] != len(layers) or eraser.mean.shape != (shape[0], shape[2]):
        raise VectorError(
            f"An erasure over {len(layers)} layers should have a mean of shape [{len(layers)}, "
            f"d_model] and two maps of shape [{len(layers)}, k, d_model]; it has "
            f"{list(eraser.mean.shape)}, {list(shape)} and {list(eraser.right.shape)}."
        )
    if shape[1] > shape[2]:
        raise VectorError(f"An erasure cannot take {shape[1]} dimensions out of {shape[2]}.")
    if not all(getattr(eraser, part).isfinite().all() for part in _PARTS):
        raise VectorError("The maps of an erasure hold NaN or infinite values.")
    products = eraser.left @ eraser.right.mT
    eye = torch.eye(shape[1], dtype=torch.float64).expand_as(products)
    if not torch.allclose(products, eye, atol=_DUAL, rtol=0):
        raise VectorError(
            "An erasure should measure what it takes away, each dimension once and none of the "
            "others: left @ right^T is not the identity."
        )
