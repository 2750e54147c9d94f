"""Several directions at once: an orthonormal basis per layer, with its provenance.

- :func:`difference_subspace`: the first k principal directions of pair differences, for a concept
  that shifts different pairs in different ways.
- :func:`class_mean_subspace`: what the means of several classes span, for a concept with more than
  two levels. Projecting it out is also what makes the classes linearly indistinguishable with an
  orthogonal projection (:mod:`selfsteer.steering.extraction.leace` has the one that changes least).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor

from selfsteer.errors import DatasetError, PlanError, VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.components import right_singular_vectors
from selfsteer.steering.formats.parts import content_id, decode_parts, encode_parts, header_of
from selfsteer.steering.formats.saved import Saved
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.vectors import SteeringVector

_FLAT = 1e-7  # of the largest singular value; what float32 activations can tell from nothing
_FORMAT: Literal["selfsteer.subspace"] = "selfsteer.subspace"
_ROUNDING = 1e-5  # float32 products of rows of length 1, with room for widths of 10,000


@dataclass(frozen=True, eq=False)
class Subspace(Saved):
    """An orthonormal basis for each layer.

    Two are equal when their ids are, that is when numbers and provenance are the same.

    Attributes:
        bases: ``[layer] -> [k, d_model]`` float32 on the CPU, orthonormal rows, the most important
            one first; k and d_model are the same at all layers.
        method: how it was found.
        selector: the tokens that were read.
        concept: what the subspace is about.
        dataset_id: the content hash of the data.
        student_fingerprint: the student whose activations these are.
        notes: further provenance, JSON values only.

    Raises:
        VectorError: no layers, shapes that differ, rows that are not orthonormal, values that are
            NaN or infinite, notes that are not JSON.
    """

    bases: Mapping[int, Tensor]
    method: str
    selector: str
    concept: str
    dataset_id: str
    student_fingerprint: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bases = {
            layer: self.bases[layer].detach().to("cpu", torch.float32, copy=True).contiguous()
            for layer in sorted(self.bases)
        }
        _check(bases)
        object.__setattr__(self, "bases", bases)
        try:
            notes = json.loads(json.dumps(dict(self.notes), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise VectorError(f"The notes of a subspace must be JSON ({error}).") from error
        object.__setattr__(self, "notes", notes)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a basis, in ascending order."""
        return tuple(self.bases)

    @property
    def k(self) -> int:
        """The number of dimensions."""
        return next(iter(self.bases.values())).shape[0]

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return next(iter(self.bases.values())).shape[1]

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 over the provenance and the numbers."""
        provenance = [self.method, self.selector, self.concept, self.dataset_id]
        record = [*provenance, self.student_fingerprint, list(self.layers), self.notes]
        return content_id(record, self.bases.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subspace) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def project(self, layer: int, activation: Tensor) -> Tensor:
        """The part of an activation ``[..., d_model]`` that lies in the subspace of a layer.

        Raises:
            VectorError: there is no such layer.
        """
        if layer not in self.bases:
            raise VectorError(
                f"Subspace {self.id} has no layer {layer}; it has {list(self.layers)}."
            )
        basis = self.bases[layer].to(activation)
        projected: Tensor = (activation @ basis.T) @ basis
        return projected

    def to_bytes(self) -> bytes:
        """The subspace as one safetensors file; the same subspace gives the same bytes."""
        header = header_of(self, _FORMAT)
        return encode_parts(header, {"basis": self.bases})

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "The subspace") -> Self:
        """Read :meth:`to_bytes` and verify the id.

        Raises:
            VectorError: not a subspace of ours, a newer schema, truncated, or damaged.
        """
        header, parts = decode_parts(data, _FORMAT, {"basis": torch.float32}, source)
        try:
            subspace = cls(parts["basis"], **header.provenance)
        except VectorError as error:
            raise VectorError(f"{source} cannot be used: {error}") from error
        if subspace.id != header.id:
            raise VectorError(f"{source} is damaged: its content is not what its id says.")
        return subspace


def subspace_ablation(
    subspace: Subspace, layer: int, fraction: float = 1.0, selector: str = "all"
) -> Plan:
    """The plan that removes a fraction of what lies in a subspace at one layer.

    Raises:
        PlanError: the subspace has no such layer, or the fraction is not finite.
        SelectorError: a selector that cannot be read.
    """
    if layer not in subspace.bases:
        raise PlanError(
            f"Subspace {subspace.id} has no layer {layer}; it has {list(subspace.layers)}."
        )
    first, *others = (_axis(subspace, layer, number) for number in range(subspace.k))
    return Plan((Edit(first, (layer,), fraction, "ablate", selector, others=tuple(others)),))


def _axis(subspace: Subspace, layer: int, number: int) -> SteeringVector:
    """One vector of a layer's basis; ablation has no use for residual norms."""
    return SteeringVector(
        directions={layer: subspace.bases[layer][number]},
        residual_norms={layer: 1.0},
        method=subspace.method,
        selector=subspace.selector,
        concept=f"{subspace.concept}, dimension {number}",
        dataset_id=subspace.dataset_id,
        student_fingerprint=subspace.student_fingerprint,
        parents=(subspace.id,),
    )


def difference_subspace(activations: ContrastiveActivations, k: int) -> Tensor:
    """``[L, k, D]``, the first k right singular vectors of the uncentred pair differences.

    Each row points to the positive side: its projection of the mean difference is not negative.
    For k = 1 this is the direction of PCA about the pair midpoints.

    Raises:
        DatasetError: k is below 1 or above what pairs and width allow.
    """
    differences = activations.differences()
    _check_k(k, min(differences.shape[1:]), "pairs and coordinates")
    basis, _ = right_singular_vectors(differences, k)
    signs = torch.einsum("lkd,ld->lk", basis, differences.mean(dim=1)).sign()
    return basis * signs.where(signs != 0, 1)[..., None]


def class_mean_subspace(values: Tensor, labels: Sequence[int], k: int | None = None) -> Tensor:
    """``[L, k, D]``, the first k directions in which the means of the classes differ.

    They are the right singular vectors of the class means about their own mean, every class
    counting the same. The sign of each is arbitrary.

    Args:
        values: ``[L, N, D]``.
        labels: the class of each text, N of them.
        k: how many; all there are (one less than there are classes) where None.

    Raises:
        DatasetError: labels that do not fit or are all the same, k out of range or above the
            number of directions in which the means do differ, NaN or infinite activations.
    """
    means = class_means(values, labels)
    centred = means - means.mean(dim=1, keepdim=True)
    most = min(means.shape[1] - 1, means.shape[2])
    k = most if k is None else k
    _check_k(k, most, "classes (less one) and coordinates")
    basis, spread = right_singular_vectors(centred, k)
    flat = spread[:, -1] <= _FLAT * spread[:, 0]
    if bool(flat.any()):
        raise DatasetError(
            f"The class means differ in fewer than {k} directions at layer number "
            f"{int(flat.int().argmax())} of those given; select other tokens, merge classes, or "
            "ask for fewer dimensions."
        )
    return basis


def class_means(values: Tensor, labels: Sequence[int]) -> Tensor:
    """``[L, C, D]`` float64: the mean of each class, in ascending order of the labels.

    Raises:
        DatasetError: labels that do not fit or are all the same, NaN or infinite activations.
    """
    if values.ndim != 3 or values.shape[1] != len(labels):
        raise DatasetError(
            f"There are {len(labels)} labels for activations of shape {list(values.shape)}, which "
            f"should be [layers, {len(labels)}, d_model]."
        )
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise DatasetError("All texts are of one class; a contrast needs two or more.")
    if not torch.isfinite(values).all():
        raise DatasetError("The activations hold NaN or infinite values.")
    place = {label: number for number, label in enumerate(classes)}
    index = torch.tensor([place[label] for label in labels], device=values.device)
    count = torch.bincount(index).double()
    sums = values.new_zeros(len(values), len(classes), values.shape[2], dtype=torch.float64)
    return sums.index_add_(1, index, values.double()) / count[:, None]


def _check_k(k: int, most: int, of_what: str) -> None:
    if not 1 <= k <= most:
        raise DatasetError(
            f"A subspace needs 1 to {most} dimensions with these {of_what}, not {k}."
        )


def _check(bases: Mapping[int, Tensor]) -> None:
    if not bases:
        raise VectorError("A subspace needs a basis at one layer or more; this one has none.")
    shape = next(iter(bases.values())).shape
    for layer, basis in bases.items():
        if layer < -1:
            raise VectorError(f"There is no layer {layer}; layers start at -1, the embedding.")
        if basis.ndim != 2 or basis.shape != shape or not basis.numel():
            raise VectorError(
                f"The basis at layer {layer} has shape {list(basis.shape)}; every layer should "
                "have the same [k, d_model]."
            )
        if len(basis) > basis.shape[1]:
            raise VectorError(
                f"The basis at layer {layer} has {len(basis)} rows of width {basis.shape[1]}, of "
                "which not all can be orthonormal."
            )
        products = basis.double() @ basis.double().T
        eye = torch.eye(len(basis), dtype=torch.float64)
        # NaN is not close to anything either
        if not torch.allclose(products, eye, atol=_ROUNDING, rtol=0):
            raise VectorError(
                f"The rows of the basis at layer {layer} are not orthonormal; give an orthonormal "
                "basis of finite values."
            )
