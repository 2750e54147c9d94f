"""From what a user wrote to the vector that predicts them: one linear map, learned on a population.

A user's place in the coordinates in which users differ goes through a matrix of low rank to what is
added at a layer: `basis` holds the few vectors that serve all users, `weights` says how a place
becomes their strengths, and `origin` is what is added for everybody, the population vector. Fitted
by gradient descent through the frozen student on messages that were not read: the objective is the
one that user vectors are judged by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.model import Student
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import TURN
from selfsteer.steering.users.reading import read_turns
from selfsteer.steering.users.shrinkage import UserSpace, recency_weights
from selfsteer.steering.vectors import SteeringVector

METHOD = "user_encoder"
_FORMAT = 1
_SPACE = ("mean", "axes", "lift", "spread")
_TENSORS = (*_SPACE, "weights", "basis", "origin")


@dataclass(frozen=True)
class UserEncoder:
    """What was learned of many users, and no single message of any of them.

    Attributes:
        layer: where its vectors are added.
        norm: the mean norm of a user's token there: the unit of strength.
        read_layer: where messages are read.
        space: the coordinates in which users differ, at the layer that is read.
        weights: [R, K] float32.
        basis: [K, D] float32, in residual norms.
        origin: [D] float32, in residual norms.
        users: how many it was learned on.
        student_fingerprint: whose activations these are.
    """

    layer: int
    norm: float
    read_layer: int
    space: UserSpace
    weights: Tensor
    basis: Tensor
    origin: Tensor
    users: int
    student_fingerprint: str

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of what is written to a file."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def push(self, place: Tensor) -> Tensor:
        """[..., D] what is added for a place [..., R], in residual norms."""
        return place.float() @ self.weights @ self.basis + self.origin

    def measure(self, student: Student, histories: Sequence[History]) -> list[Tensor]:
        """For each user [n, R], what their messages show."""
        self._check(student)
        read = read_turns(student, histories, [self.read_layer])
        return [self.space.measure(user.values[0].cpu()) for user in read]

    def vectors(
        self,
        student: Student,
        histories: Sequence[History],
        *,
        half_life: float | None = None,
    ) -> list[SteeringVector]:
        """The vector of each user; all messages are read in one pass.

        Args:
            half_life: messages after which a message counts half; None to count all alike.

        Raises:
            DatasetError: a user without messages, or a half-life that is not positive.
            VectorError: another student.
        """
        measured = self.measure(student, histories)
        return [
            self.vector(rows, recency_weights(len(rows), half_life), history)
            for rows, history in zip(measured, histories, strict=True)
        ]

    def vector(self, measured: Tensor, weights: Tensor, history: History) -> SteeringVector:
        """The vector of a user whose messages show ``measured`` [n, R], weighted by [n]."""
        place = self.space.guess(measured, weights)
        notes = {
            "encoder": self.id,
            "messages": len(measured),
            "unrest": round(self.space.unrest(measured, weights), 4),
            "place": [round(float(value), 5) for value in place],
            "sources": [turn.source for turn in history.turns if turn.source],
        }
        return self._as_vector(self.push(place), "what a user tends to write", notes)

    def population_vector(self) -> SteeringVector:
        """What is added for a user of whom nothing is known."""
        return self._as_vector(self.origin, "what users write", {"encoder": self.id})

    def _as_vector(self, push: Tensor, concept: str, notes: dict[str, Any]) -> SteeringVector:
        return SteeringVector(
            directions={self.layer: push * self.norm},
            residual_norms={self.layer: self.norm},
            method=METHOD,
            selector=TURN,
            concept=concept,
            dataset_id="",
            student_fingerprint=self.student_fingerprint,
            notes=notes,
        )

    def truncated(self, size: int) -> UserEncoder:
        """The same with the ``size`` vectors that matter most to users as they are.

        Users' places have covariance 1 by construction, so that the best basis of fewer vectors is
        that of the largest singular values of the whole map (Eckart and Young, 1936).
        """
        left, values, right = torch.linalg.svd(self.weights @ self.basis, full_matrices=False)
        return replace(self, weights=left[:, :size] * values[:size], basis=right[:size])

    def _check(self, student: Student) -> None:
        if student.fingerprint != self.student_fingerprint:
            raise DatasetError(
                f"What was learned of users belongs to student {self.student_fingerprint[:12]}, "
                f"not to {student.name} ({student.fingerprint[:12]}); learn it again."
            )

    def to_bytes(self) -> bytes:
        """The encoder as safetensors with a JSON header."""
        header = {
            "format": _FORMAT,
            "layer": self.layer,
            "norm": self.norm,
            "read_layer": self.read_layer,
            "users": self.users,
            "student_fingerprint": self.student_fingerprint,
        }
        tensors = {name: getattr(self, name) for name in ("weights", "basis", "origin")}
        tensors |= {name: getattr(self.space, name) for name in _SPACE}
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        return bytes(save(tensors, {"users": json.dumps(header, sort_keys=True)}))

    @classmethod
    def from_bytes(cls, data: bytes) -> UserEncoder:
        """Read what `to_bytes` wrote.

        Raises:
            DatasetError: something else, or what a newer version wrote.
        """
        try:
            tensors = load(data)
            size = int.from_bytes(data[:8], "little")
            told = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["users"])
            if not isinstance(told, dict):
                raise ValueError("its header is no mapping")
            if told.pop("format") != _FORMAT:
                raise DatasetError("A newer selfsteer learned this of users; upgrade this one.")
            tensors = {name: tensors[name] for name in _TENSORS}
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                raise ValueError("numbers that are not finite")
            told["space"] = UserSpace(*(tensors.pop(name) for name in _SPACE))
            found = cls(**told | tensors)
            found.push(torch.zeros(len(found.space.spread)))
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DatasetError(f"These bytes hold nothing learned of users ({error}).") from error
        return found
