"""Files of what has several tensors a layer, subspaces and erasures: safetensors and a header.

As with vectors, the file is an ordinary safetensors file with a metadata entry ``selfsteer``, whose
value is the header below as JSON. A tensor is called ``<part>.<layer>``. Reading it never executes
anything. This module knows bytes and headers only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors.numpy import save
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import shown
from selfsteer.steering.formats.native import (
    LAYER_MEANING,
    METADATA_KEY,
    read_metadata,
    read_tensors,
)

Parts = dict[str, dict[int, Tensor]]
"""``[part] -> [layer] ->`` tensor."""

_ID_LENGTH = 16  # hex digits of the sha256 that are kept: 64 bits
_LAYER_DIGITS = 6


class PartsHeader(BaseModel):
    """Everything about a subspace or an erasure but its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["selfsteer.subspace", "selfsteer.erasure"]
    schema_version: Literal[1] = 1
    layer_meaning: str = LAYER_MEANING
    id: str
    method: str
    selector: str
    concept: str
    dataset_id: str
    student_fingerprint: str
    notes: dict[str, JsonValue]

    @property
    def provenance(self) -> dict[str, Any]:
        """The fields that both kinds have."""
        return self.model_dump(exclude={"id", "format", "schema_version", "layer_meaning"})


class _Described(Protocol):
    """What the header tells of a thing."""

    @property
    def id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def selector(self) -> str: ...
    @property
    def concept(self) -> str: ...
    @property
    def dataset_id(self) -> str: ...
    @property
    def student_fingerprint(self) -> str: ...
    @property
    def notes(self) -> Mapping[str, Any]: ...


def header_of(
    thing: _Described, format: Literal["selfsteer.subspace", "selfsteer.erasure"]
) -> PartsHeader:
    """The header of a subspace or an erasure."""
    return PartsHeader(
        format=format,
        id=thing.id,
        method=thing.method,
        selector=thing.selector,
        concept=thing.concept,
        dataset_id=thing.dataset_id,
        student_fingerprint=thing.student_fingerprint,
        notes=dict(thing.notes),
    )


def content_id(record: Iterable[Any], tensors: Iterable[Tensor]) -> str:
    """First 16 hex digits of the sha256 over provenance and numbers."""
    digest = hashlib.sha256(json.dumps(list(record), sort_keys=True).encode())
    for tensor in tensors:
        kind = "<f8" if tensor.dtype == torch.float64 else "<f4"
        digest.update(tensor.numpy().astype(kind).tobytes())
    return digest.hexdigest()[:_ID_LENGTH]


def encode_parts(header: PartsHeader, parts: Mapping[str, Mapping[int, Tensor]]) -> bytes:
    """Serialise; the same content gives the same bytes."""
    arrays = {
        f"{part}.{layer}": tensor.numpy()
        for part, tensors in parts.items()
        for layer, tensor in tensors.items()
    }
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True, allow_nan=False)
    return save(arrays, metadata={METADATA_KEY: text})


def decode_parts(
    data: bytes, format: str, dtypes: Mapping[str, torch.dtype], source: str
) -> tuple[PartsHeader, Parts]:
    """Read what :func:`encode_parts` wrote.

    Args:
        data: the whole file.
        format: what the header must say that this is.
        dtypes: the parts that every layer has, and their type.
        source: what to call the file in an error.

    Raises:
        VectorError: not a safetensors file, cut short, of another format or schema, or without all
            parts of every layer.
    """
    header = _header(read_metadata(data, source), format, source)
    parts: Parts = {part: {} for part in dtypes}
    for name, tensor in read_tensors(data, source).items():
        part, _, number = name.partition(".")
        if part not in parts or not _is_layer(number):
            raise VectorError(
                f"{source} holds a tensor named {shown(name)}, which no {format} has."
            )
        if tensor.dtype != dtypes[part]:
            raise VectorError(f"{source} stores {name} as {tensor.dtype}; it is {dtypes[part]}.")
        parts[part][int(number)] = tensor
    layers = [set(tensors) for tensors in parts.values()]
    if any(other != layers[0] for other in layers):
        raise VectorError(f"{source} has not all of {', '.join(parts)} at every layer.")
    return header, parts


def _is_layer(text: str) -> bool:
    return text == "-1" or (
        text.isascii() and text.isdigit() and len(text) <= _LAYER_DIGITS and text == str(int(text))
    )


def _header(raw: Any, format: str, source: str) -> PartsHeader:
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != format:
        raise VectorError(f"{source} is of the format {shown(found)}, not {format!r}.")
    try:
        return PartsHeader.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise VectorError(f"{source} has an invalid header: {where}: {first['msg']}.") from error
