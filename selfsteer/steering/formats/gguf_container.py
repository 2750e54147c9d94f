"""A small reader of GGUF files that may be hostile: metadata and one-dimensional F32 tensors.

GGUF (little-endian, versions 2 and 3): the magic, a version, the numbers of tensors and of metadata
entries, the entries, one record for each tensor, then the tensors' data, each at a multiple of the
alignment. Every count, length and offset is checked against the bytes that are there before
anything is done with it, so that the memory used is bounded by the size of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import shown

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_F32 = 0  # the number of the tensor type
_MAX_ENTRIES = 4096  # of metadata, of tensors
_MAX_TEXT = 2**16  # bytes
_MAX_DEPTH = 4  # of arrays of arrays
_DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9
_SCALARS = {
    **{0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?"},
    **{10: "<Q", 11: "<q", 12: "<d"},
}
Value = int | float | bool | str | None


@dataclass(frozen=True)
class Container:
    """What a GGUF file holds.

    Attributes:
        metadata: scalars and strings by key; None for arrays, which are skipped.
        tensors: ``[n]`` float32 by name, in the order of the file.
    """

    metadata: dict[str, Value]
    tensors: dict[str, Tensor]


class _Cursor:
    """Reads forward through bytes and never past their end."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data = data
        self.source = source
        self.at = 0

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes; returns where they start."""
        start = self.at
        if count > len(self.data) - start:
            raise VectorError(f"{self.source} is a truncated GGUF file.")
        self.at = start + count
        return start

    def scalar(self, form: str) -> Value:
        value: Value = struct.unpack_from(form, self.data, self.skip(struct.calcsize(form)))[0]
        return value

    def number(self, form: str) -> int:
        value = self.scalar(form)
        assert isinstance(value, int)  # the caller asks for integers only
        return value

    def count(self, what: str) -> int:
        value = self.number("<Q")
        if value > _MAX_ENTRIES:
            raise VectorError(f"{self.source} claims {value} {what}, which is too many.")
        return value

    def text(self) -> str:
        length = self.number("<Q")
        if length > _MAX_TEXT:
            raise VectorError(f"{self.source} has a text of {length} bytes, which is too long.")
        start = self.skip(length)
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError as error:
            raise VectorError(f"{self.source} has a name that is not UTF-8.") from error

    def value(self, kind: int, depth: int = 0) -> Value:
        """One metadata value; arrays are passed over."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or depth == _MAX_DEPTH:
            raise VectorError(f"{self.source} has metadata of the unknown type {kind}.")
        inner, length = self.number("<I"), self.number("<Q")
        if inner in _SCALARS:
            self.skip(length * struct.calcsize(_SCALARS[inner]))
            return None
        if length > len(self.data):
            raise VectorError(f"{self.source} is a truncated GGUF file.")
        for _ in range(length):
            self.value(inner, depth + 1)
        return None


def read_container(data: bytes, source: str) -> Container:
    """Read a GGUF file whose tensors are all F32 and one-dimensional.

    Args:
        data: the whole file.
        source: what to call the file in an error.

    Raises:
        VectorError: not GGUF, another version or byte order, truncated, a name twice, or a tensor
            of another type or shape.
    """
    cursor = _Cursor(data, source)
    if data[:4] != _MAGIC:
        raise VectorError(f"{source} is not a GGUF file.")
    cursor.skip(4)
    version = cursor.number("<I")
    if version not in _VERSIONS:
        raise VectorError(
            f"{source} is GGUF of version {version} or of the other byte order; little-endian "
            f"files of the versions {_VERSIONS[0]} and {_VERSIONS[1]} can be read."
        )
    tensors, entries = cursor.count("tensors"), cursor.count("metadata entries")
    metadata: dict[str, Value] = {}
    for _ in range(entries):
        key = cursor.text()
        if key in metadata:
            raise VectorError(f"{source} has the metadata {shown(key)} twice.")
        metadata[key] = cursor.value(cursor.number("<I"))
    records = [_record(cursor) for _ in range(tensors)]
    alignment = _alignment(metadata, source)
    start = -(-cursor.at // alignment) * alignment
    if 4 * sum(length for _, length, _ in records) > len(data):
        raise VectorError(
            f"{source} is truncated or damaged: its tensors are larger than the file."
        )
    found: dict[str, Tensor] = {}
    for name, length, offset in records:
        if name in found:
            raise VectorError(f"{source} has the tensor {shown(name)} twice.")
        if offset % alignment or start + offset + 4 * length > len(data):
            raise VectorError(
                f"{source} is truncated or damaged: {shown(name)} lies outside the file."
            )
        values = np.frombuffer(data, "<f4", length, start + offset)
        found[name] = torch.from_numpy(values.astype(np.float32))
    return Container(metadata, found)


def _record(cursor: _Cursor) -> tuple[str, int, int]:
    """Name, length and offset of a tensor."""
    name, dimensions = cursor.text(), cursor.number("<I")
    if dimensions != 1:
        raise VectorError(
            f"{cursor.source}: the tensor {shown(name)} has {dimensions} dimensions; it should "
            "have one."
        )
    length, kind, offset = cursor.number("<Q"), cursor.number("<I"), cursor.number("<Q")
    if kind != _F32:
        raise VectorError(
            f"{cursor.source}: the tensor {shown(name)} is not F32; control vectors are."
        )
    return name, length, offset


def _alignment(metadata: dict[str, Value], source: str) -> int:
    value = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(value) is not int or not 8 <= value <= 2**16 or value & (value - 1):
        raise VectorError(
            f"{source} has the alignment {shown(value)}; it should be a power of two."
        )
    return value
