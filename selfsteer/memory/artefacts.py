"""Immutable things named by their content: vectors, datasets, generated replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from selfsteer.errors import DatasetError, MemoryFileError
from selfsteer.memory.connection import Connection, now
from selfsteer.memory.records import Artefact, to_json
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.vectors import SteeringVector

_ID_LENGTH = 16  # hex digits of the sha256, as in the ids of vectors and datasets
_COLUMNS = "id, kind, sha256, size, meta, created"
_SOUND = "id NOT IN (SELECT artefact_id FROM quarantined)"
_INSERT = (
    f"INSERT INTO artefacts ({_COLUMNS}, data) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, size = excluded.size, "
    f"meta = excluded.meta, data = excluded.data WHERE NOT artefacts.{_SOUND}"
)

Row = tuple[str, str, str, int, str, str, bytes]  # of _COLUMNS, and the data


def content_id(kind: str, data: bytes, source: str) -> str:
    """The id that content has by its own account.

    Args:
        source: what to call the content in an error.

    Raises:
        SelfsteerError: it cannot be read as what its kind says.
    """
    if kind == "vector":
        return SteeringVector.from_bytes(data, source).id
    if kind == "dataset":
        try:
            return ContrastiveDataset.from_jsonl(data.decode()).id
        except UnicodeDecodeError as error:
            raise DatasetError(f"{source} is not text in UTF-8.") from error
    return hashlib.sha256(data).hexdigest()[:_ID_LENGTH]


class Artefacts:
    """The store of artefacts: adding the same content twice stores it once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put_blob(
        self,
        kind: str,
        data: bytes,
        meta: Mapping[str, JsonValue] | None = None,
        *,
        artefact_id: str | None = None,
    ) -> str:
        """Store ``data`` and return its id.

        The id is the start of the sha256 of the bytes, unless the content has a name of its own
        that says the same (that of a vector leaves out when it was made). The first bytes stored
        under an id stay, unless they were altered and put in quarantine: then these replace them.
        """
        row = _row(kind, data, meta or {}, artefact_id)
        with self._connection.write() as db:
            db.execute(_INSERT, row)
        return row[0]

    def get_blob(self, kind: str, artefact_id: str) -> bytes:
        """The bytes of an artefact, verified.

        Raises:
            MemoryFileError: there is none of this kind and id, or its bytes have been altered.
        """
        rows = self._connection.query(
            f"SELECT sha256, data, {_SOUND} AS sound FROM artefacts WHERE kind = ? AND id = ?",
            [kind, artefact_id],
        )
        if not rows:
            raise MemoryFileError(
                f"The memory {self._connection.path} holds no {kind} {artefact_id}."
            )
        data = bytes(rows[0]["data"])
        if not rows[0]["sound"]:
            raise MemoryFileError(
                f"The {kind} {artefact_id} in {self._connection.path} was altered on disk and is "
                "in quarantine; restore the file from a backup, or import a bundle that holds it."
            )
        if hashlib.sha256(data).hexdigest() != rows[0]["sha256"]:
            raise self._altered(kind, artefact_id)
        return data

    def artefacts(self, kind: str) -> list[Artefact]:
        """What is stored of a kind and not in quarantine, oldest first."""
        rows = self._connection.query(
            f"SELECT {_COLUMNS} FROM artefacts WHERE kind = ? AND {_SOUND} ORDER BY created, rowid",
            [kind],
        )
        return [Artefact.from_row(row) for row in rows]

    def put_vector(self, vector: SteeringVector) -> str:
        """Store a vector under its own id."""
        return self.put_vectors([vector])[0]

    def put_vectors(self, vectors: Sequence[SteeringVector]) -> list[str]:
        """Store vectors in one transaction, all or none of them; returns their ids, in order.

        A transaction waits for the disk once, which takes longer than everything else that is done
        for one vector: so many are stored some hundreds at a time. Their bytes are all in memory
        while that lasts, and other processes wait only while they are written.
        """
        rows = [_row("vector", v.to_bytes(), _vector_meta(v), v.id) for v in vectors]
        with self._connection.write() as db:
            db.conn.executemany(_INSERT, rows)
        return [row[0] for row in rows]

    def get_vector(self, vector_id: str) -> SteeringVector:
        """Read a vector back.

        Raises:
            MemoryFileError: unknown, or altered in the file.
            VectorError: written by a newer format of vectors.
        """
        source = f"Vector {vector_id} in {self._connection.path}"
        vector = SteeringVector.from_bytes(self.get_blob("vector", vector_id), source)
        if vector.id != vector_id:
            raise self._altered("vector", vector_id)
        return vector

    def vectors(self) -> list[Artefact]:
        """All vectors, oldest first; ``meta`` holds concept, method, layers and provenance."""
        return self.artefacts("vector")

    def put_dataset(self, dataset: ContrastiveDataset) -> str:
        """Store a dataset under its own id."""
        meta: dict[str, JsonValue] = {"concept": dataset.concept, "pairs": len(dataset.pairs)}
        return self.put_blob("dataset", dataset.to_jsonl().encode(), meta, artefact_id=dataset.id)

    def get_dataset(self, dataset_id: str) -> ContrastiveDataset:
        """Read a dataset back.

        Raises:
            MemoryFileError: unknown, or altered in the file.
            DatasetError: written by a newer format of datasets.
        """
        data = self.get_blob("dataset", dataset_id)
        dataset = ContrastiveDataset.from_jsonl(data.decode())
        if dataset.id != dataset_id:
            raise self._altered("dataset", dataset_id)
        return dataset

    def put_generations(self, rows: Sequence[Mapping[str, JsonValue]]) -> str:
        """Store generated replies, one JSON object each."""
        data = to_json([dict(row) for row in rows]).encode()
        return self.put_blob("generations", data, {"rows": len(rows)})

    def get_generations(self, generations_id: str) -> list[dict[str, Any]]:
        """Read generated replies back.

        Raises:
            MemoryFileError: unknown, or altered in the file.
        """
        rows: list[dict[str, Any]] = json.loads(self.get_blob("generations", generations_id))
        return rows

    def _altered(self, kind: str, artefact_id: str) -> MemoryFileError:
        return MemoryFileError(
            f"The {kind} {artefact_id} in {self._connection.path} has been altered since it was "
            "stored; restore the file from a backup."
        )


def _row(kind: str, data: bytes, meta: Mapping[str, JsonValue], name: str | None) -> Row:
    """What is stored of a blob; without a name of its own it gets that of its bytes."""
    digest = hashlib.sha256(data).hexdigest()
    own = name or digest[:_ID_LENGTH]
    return own, kind, digest, len(data), to_json(dict(meta)), now(), data


def _vector_meta(vector: SteeringVector) -> dict[str, JsonValue]:
    """What vectors are listed by."""
    return {
        "concept": vector.concept,
        "method": vector.method,
        "selector": vector.selector,
        "layers": list(vector.layers),
        "dataset_id": vector.dataset_id,
        "student_fingerprint": vector.student_fingerprint,
        "parents": list(vector.parents),
    }
