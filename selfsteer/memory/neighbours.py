"""Exact nearest neighbours: which stored vectors point the same way.

The directions of one student at one layer lie in memory as one matrix of unit rows, so that a
question is one matrix-vector product. Every question asks the file for the version of its vectors,
one row, and reads what is new only when that has changed. A first question needs no matrix where
SQLite can answer it itself.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from selfsteer.errors import VectorError
from selfsteer.memory.scanning import OF_A_LAYER, can_scan, scan
from selfsteer.memory.store import Memory
from selfsteer.steering.formats.native import decode_direction
from selfsteer.steering.vectors import SteeringVector

Floats = NDArray[np.float32]
_Key = tuple[str, int, int]  # fingerprint of the student, layer, d_model

_AT_ONCE = 500  # blobs in memory while a matrix is filled


class Neighbour(BaseModel):
    """A stored vector and the cosine of its direction with the one that was asked about."""

    model_config = ConfigDict(frozen=True)

    vector_id: str
    cosine: float


@dataclass(frozen=True)
class _Directions:
    """Unit rows ``[N, d_model]``, their ids, and the version of the vectors they were read at."""

    version: int
    ids: list[str]
    rows: Floats


class Neighbours:
    """Looks for neighbours in a memory; keep one as long as there are questions."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._kept: dict[_Key, _Directions] = {}
        self._asked: set[_Key] = set()
        self._scans = can_scan(memory.connection)

    def similar(self, vector: SteeringVector, layer: int, limit: int = 10) -> list[Neighbour]:
        """The stored vectors of its student nearest to ``vector`` at ``layer``, without itself.

        Raises:
            VectorError: the vector has no such layer, or is zero there.
        """
        unit = vector.unit(layer).numpy()
        nearest = self.nearest(unit, vector.student_fingerprint, layer, limit + 1)
        return [found for found in nearest if found.vector_id != vector.id][:limit]

    def nearest(
        self, direction: Floats, fingerprint: str, layer: int, limit: int = 10
    ) -> list[Neighbour]:
        """The vectors of a student whose directions at a layer have the highest cosine.

        Args:
            direction: ``[d_model]``, of any length.

        Raises:
            VectorError: the direction is zero or not finite.
        """
        length = float(np.linalg.norm(direction.astype(np.float64)))
        if not 0 < length < float("inf"):
            raise VectorError("A direction that is zero or not finite has no neighbours.")
        key = (fingerprint, layer, direction.shape[0])
        unit: Floats = (direction / np.float32(length)).astype(np.float32)
        if self._scans and key not in self._asked:
            self._asked.add(key)
            names = scan(self._memory.connection, unit, fingerprint, layer, limit)
            found = dict(_units(self._memory, names, layer, len(unit)))
            if len(found) == len(names):
                return _by_cosine(found, unit)
        table = self._directions(key)
        cosines: Floats = table.rows @ unit
        return [
            Neighbour(vector_id=table.ids[place], cosine=float(cosines[place]))
            for place in highest(cosines, limit)
        ]

    def _directions(self, key: _Key) -> _Directions:
        # Asked before the rows: what comes in between is then read once more, and never missed.
        version = self._memory.connection.query("SELECT number FROM vectors_version")[0]["number"]
        kept = self._kept.get(key)
        if kept is None or kept.version != version:
            kept = _read(self._memory, version, key, kept)
            self._kept[key] = kept
        return kept


def _by_cosine(units: Mapping[str, Floats], asked: Floats) -> list[Neighbour]:
    found = [Neighbour(vector_id=name, cosine=float(row @ asked)) for name, row in units.items()]
    return sorted(found, key=lambda one: -one.cosine)


def highest(values: Floats, limit: int) -> list[int]:
    """The places of the ``limit`` highest values, the highest first, equal ones in order."""
    if limit < len(values):
        places = np.argpartition(-values, limit)[:limit]
    else:
        places = np.arange(len(values))
    return [int(place) for place in places[np.lexsort((places, -values[places]))]]


def _read(memory: Memory, version: int, key: _Key, kept: _Directions | None) -> _Directions:
    """The directions as they are now; those that are kept already are not read again."""
    fingerprint, layer, width = key
    listed = memory.connection.query(
        f"SELECT id FROM artefacts WHERE {OF_A_LAYER} ORDER BY rowid",
        {"fingerprint": fingerprint, "layer": layer},
    )
    names = [row["id"] for row in listed]
    wanted = set(names)
    old = [] if kept is None else [n for n, name in enumerate(kept.ids) if name in wanted]
    ids = [] if kept is None else [kept.ids[n] for n in old]
    known = set(ids)
    missing = [name for name in names if name not in known]
    rows = np.empty((len(ids) + len(missing), width), dtype=np.float32)
    if kept is not None:
        rows[: len(ids)] = kept.rows[old]
    for name, unit in _units(memory, missing, layer, width):
        rows[len(ids)] = unit
        ids.append(name)
    return _Directions(version, ids, rows[: len(ids)])


def _units(
    memory: Memory, names: Sequence[str], layer: int, width: int
) -> Iterator[tuple[str, Floats]]:
    """The unit directions of vectors; those that are zero there give none."""
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        slots = ", ".join("?" * len(some))
        for row in memory.connection.query(
            f"SELECT id, sha256, data FROM artefacts WHERE id IN ({slots}) ORDER BY rowid", some
        ):
            data = bytes(row["data"])
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                warnings.warn(
                    f"The vector {row['id']} in {memory.path} has been altered and is left out; "
                    "`selfsteer memory check` puts it in quarantine.",
                    stacklevel=2,
                )
                continue
            direction = decode_direction(data, layer, f"Vector {row['id']}").double()
            length = direction.norm()
            if length > 0 and direction.shape == torch.Size([width]):
                yield row["id"], (direction / length).float().numpy()
