"""Steering vectors: one direction per layer, where it came from, and the algebra on it.

Layer k means the output of decoder block k, counted from 0; layer -1 is the embedding output.
A direction points from the negative side of its contrast to the positive side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering import algebra
from selfsteer.steering.formats.native import VectorHeader, decode, encode
from selfsteer.steering.formats.saved import Saved
from selfsteer.steering.vector_checks import check_directed, check_numbers

if TYPE_CHECKING:
    from selfsteer.steering.model import Student

_ID_LENGTH = 16  # hex digits of the sha256 that are kept: 64 bits


@dataclass(frozen=True, eq=False)
class SteeringVector(Saved):
    """One direction per layer, with its provenance.

    Two vectors are equal when their ids are, that is when numbers and provenance are the same;
    ``created`` is the one field that the id leaves out, so that a repeated extraction gives the
    same vector.

    Attributes:
        directions: ``[layer] -> [d_model]`` float32 on the CPU, raw (not normalised): its length is
            what the method found, for the mean difference the distance between the two means.
        residual_norms: ``[layer] ->`` the mean L2 norm of the student's residual at the selected
            tokens, over both sides of the contrast: the unit of strength for the operator ``add``.
        method: the extraction method, or the operation of the algebra.
        selector: the tokens that were read.
        concept: what the positive side has and the negative side has not.
        dataset_id: the content hash of the data; empty where several datasets were combined.
        student_fingerprint: the student whose activations these are.
        parents: ids of the vectors that this one was computed from.
        created: ISO time, UTC; empty means now.
        notes: further provenance, JSON values only.

    Raises:
        VectorError: no layers, shapes that differ, values that are NaN or infinite, residual norms
            missing or not positive, notes that are not JSON.
    """

    directions: Mapping[int, Tensor]
    residual_norms: Mapping[int, float]
    method: str
    selector: str
    concept: str
    dataset_id: str
    student_fingerprint: str
    parents: tuple[str, ...] = ()
    created: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        directions = {
            layer: self.directions[layer].detach().to("cpu", torch.float32, copy=True).contiguous()
            for layer in sorted(self.directions)
        }
        norms = {layer: float(self.residual_norms[layer]) for layer in sorted(self.residual_norms)}
        object.__setattr__(self, "directions", directions)
        object.__setattr__(self, "residual_norms", norms)
        object.__setattr__(self, "parents", tuple(self.parents))
        created = self.created or datetime.now(UTC).isoformat(timespec="seconds")
        object.__setattr__(self, "created", created)
        check_numbers(directions, norms)
        try:
            notes = json.loads(json.dumps(dict(self.notes), allow_nan=False))
            object.__setattr__(self, "notes", notes)
            self._provenance()
            datetime.fromisoformat(self.created)
        except (TypeError, ValueError, RecursionError) as error:
            raise VectorError(
                f"The provenance of a vector must be plain text, JSON and an ISO time ({error})."
            ) from error

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a direction, in ascending order."""
        return tuple(self.directions)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return next(iter(self.directions.values())).shape[0]

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 over the provenance and the numbers."""
        digest = hashlib.sha256(self._provenance())
        for direction in self.directions.values():
            digest.update(direction.numpy().astype("<f4").tobytes())
        return digest.hexdigest()[:_ID_LENGTH]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SteeringVector) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def unit(self, layer: int) -> Tensor:
        """The direction at ``layer`` with length 1, ``[d_model]`` float32.

        Raises:
            VectorError: the vector has no such layer, or its direction there is zero.
        """
        if layer not in self.directions:
            raise VectorError(f"Vector {self.id} has no layer {layer}; it has {list(self.layers)}.")
        direction = self.directions[layer].double()
        norm = direction.norm()
        if norm == 0:
            raise VectorError(f"Vector {self.id} is zero at layer {layer} and gives no direction.")
        unit: Tensor = (direction / norm).float()
        return unit

    def check_student(self, student: Student, force: bool = False) -> None:
        """Make sure that the vector belongs to ``student``.

        ``force`` lets the vector of another student through (a fine-tune of the same model, say),
        as long as its width and layers fit.

        Raises:
            VectorError: another student's vector, or one whose width or layers do not fit.
        """
        if self.d_model != student.d_model or self.layers[-1] >= student.n_layers:
            raise VectorError(
                f"Vector {self.id} has width {self.d_model} and layers up to {self.layers[-1]}; "
                f"student {student.name} has width {student.d_model} and {student.n_layers} layers."
            )
        if self.student_fingerprint != student.fingerprint and not force:
            raise VectorError(
                f"Vector {self.id} was extracted from student {self.student_fingerprint[:12]}, "
                f"not from {student.name} ({student.fingerprint[:12]}); extract it again."
            )

    def __add__(self, other: SteeringVector) -> SteeringVector:
        """The sum of the raw directions; both concepts at once."""
        concept = f"({self.concept}) + ({other.concept})"
        return algebra.combine((self, other), torch.add, method="add", concept=concept)

    def __sub__(self, other: SteeringVector) -> SteeringVector:
        """The difference of the raw directions: from the concept of ``other`` to this one."""
        concept = f"({self.concept}) - ({other.concept})"
        return algebra.combine((self, other), torch.sub, method="subtract", concept=concept)

    def __mul__(self, factor: float) -> SteeringVector:
        """Scale every direction.

        The operator ``add`` steers along the unit direction, so that only the sign of the factor
        matters there; its size matters in sums.
        """
        return algebra.scale(self, factor)

    __rmul__ = __mul__

    def project_out(self, other: SteeringVector) -> SteeringVector:
        """What is left of this vector when its part along ``other`` is removed, per layer.

        Raises:
            VectorError: vectors that do not match, or a direction of ``other`` that is zero.
        """
        check_directed(other)
        concept = f"({self.concept}) without ({other.concept})"
        return algebra.combine(
            (self, other), algebra.remove_component, method="project_out", concept=concept
        )

    def slerp(self, other: SteeringVector, t: float) -> SteeringVector:
        """Turn from this vector (``t`` = 0) to ``other`` (``t`` = 1) along the great circle.

        Raises:
            VectorError: vectors that do not match, ``t`` outside 0..1, a zero direction, or two
                opposite directions, between which no path is the shortest.
        """
        if not 0 <= t <= 1:
            raise VectorError(f"slerp needs t between 0 and 1, not {t}.")
        check_directed(self)
        check_directed(other)
        concept = f"({self.concept}) to ({other.concept})"
        turn = partial(algebra.slerp, t=t)
        return algebra.combine(
            (self, other), turn, method="slerp", concept=concept, notes={"t": float(t)}
        )

    def _provenance(self) -> bytes:
        """The canonical form of everything that the id covers besides the directions."""
        record = {
            "method": self.method,
            "selector": self.selector,
            "concept": self.concept,
            "dataset_id": self.dataset_id,
            "student_fingerprint": self.student_fingerprint,
            "parents": list(self.parents),
            "residual_norms": [[layer, norm] for layer, norm in self.residual_norms.items()],
            "notes": self.notes,
        }
        # encode() refuses lone surrogates, which no reader would give back
        return json.dumps(record, sort_keys=True, ensure_ascii=False).encode()

    def to_bytes(self) -> bytes:
        """The vector as one safetensors file; the same vector gives the same bytes."""
        header = VectorHeader(
            id=self.id,
            method=self.method,
            selector=self.selector,
            concept=self.concept,
            dataset_id=self.dataset_id,
            student_fingerprint=self.student_fingerprint,
            residual_norms=dict(self.residual_norms),
            parents=self.parents,
            created=self.created,
            notes=dict(self.notes),
        )
        return encode(header, self.directions)

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "The vector") -> Self:
        """Read :meth:`to_bytes` and verify the id.

        Raises:
            VectorError: not a vector of ours, a newer schema, truncated, or damaged.
        """
        header, directions = decode(data, source)
        fields = header.model_dump(exclude={"id", "format", "schema_version", "layer_meaning"})
        try:
            vector = cls(directions=directions, **fields)
        except VectorError as error:
            raise VectorError(f"{source} cannot be used: {error}") from error
        if vector.id != header.id:
            raise VectorError(
                f"{source} is damaged: its content hashes to {vector.id}, its header says "
                f"{header.id}."
            )
        return vector


def random_like(vector: SteeringVector, seed: int) -> SteeringVector:
    """A control: directions drawn evenly from the sphere, of the same length at every layer."""
    generator = torch.Generator().manual_seed(seed)
    directions = {}
    for layer, direction in vector.directions.items():
        noise = torch.randn(direction.shape, generator=generator, dtype=torch.float64)
        directions[layer] = noise / noise.norm() * direction.double().norm()
    return replace(
        vector,
        directions=directions,
        method="random",
        concept=f"random control of ({vector.concept})",
        parents=(vector.id,),
        created="",
        notes={"seed": seed},
    )
