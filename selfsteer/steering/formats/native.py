"""selfsteer's own vector format: safetensors with a schema-versioned JSON header.

The file is an ordinary safetensors file. It holds one float32 tensor ``direction.<layer>`` of shape
``[d_model]`` for each layer, and one metadata entry, ``selfsteer``, whose value is the header below
as JSON. Reading it never executes anything.

This module knows bytes and headers only; :class:`selfsteer.steering.vectors.SteeringVector` stands
on top of it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load
from torch import Tensor

from selfsteer.errors import VectorError

SCHEMA_VERSION = 1
LAYER_MEANING = "layer k: output of decoder block k, counted from 0; -1: the embedding output"
METADATA_KEY = "selfsteer"
_TENSOR_PREFIX = "direction."
_TENSOR_NAME = re.compile(re.escape(_TENSOR_PREFIX) + r"(-1|[0-9]{1,6})")


class VectorHeader(BaseModel):
    """Everything about a vector but its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["selfsteer.steering-vector"] = "selfsteer.steering-vector"
    schema_version: Literal[1] = 1
    layer_meaning: str = LAYER_MEANING
    id: str
    method: str
    selector: str
    concept: str
    dataset_id: str
    student_fingerprint: str
    residual_norms: dict[int, float]
    parents: tuple[str, ...]
    created: str
    notes: dict[str, JsonValue]


def encode(header: VectorHeader, directions: Mapping[int, Tensor]) -> bytes:
    """Serialise a vector; the same vector gives the same bytes."""
    # As arrays: for tensors safetensors looks for shared storage, which takes longer than the rest.
    arrays = {f"{_TENSOR_PREFIX}{layer}": value.numpy() for layer, value in directions.items()}
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True, allow_nan=False)
    return save(arrays, metadata={METADATA_KEY: text})


def decode(data: bytes, source: str = "vector") -> tuple[VectorHeader, dict[int, Tensor]]:
    """Read what :func:`encode` wrote.

    Args:
        data: the whole file.
        source: what to call the file in an error.

    Raises:
        VectorError: not a safetensors file, cut short, without our header, written by a newer
            schema, or with tensors that do not fit the header.
    """
    header = _read_header(data, source)
    tensors = read_tensors(data, source)
    directions: dict[int, Tensor] = {}
    for name, tensor in tensors.items():
        match = _TENSOR_NAME.fullmatch(name)
        if match is None:
            raise VectorError(
                f"{source} holds a tensor named {name!r}; a vector file holds only "
                f"'{_TENSOR_PREFIX}<layer>'."
            )
        if tensor.dtype != torch.float32:
            raise VectorError(f"{source} stores {name} as {tensor.dtype}; it should be float32.")
        directions[int(match[1])] = tensor
    return header, directions


def decode_direction(data: bytes, layer: int, source: str = "vector") -> Tensor:
    """One direction of what :func:`encode` wrote, ``[d_model]``, without reading the header.

    Raises:
        VectorError: the file cannot be read or has no such layer.
    """
    try:
        return load(data)[f"{_TENSOR_PREFIX}{layer}"]
    except (SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise VectorError(f"{source} has no readable direction at layer {layer}.") from error


def read_tensors(data: bytes, source: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        VectorError: the file is truncated or damaged.
    """
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise VectorError(
            f"{source} is truncated or damaged: its tensors cannot be read ({error})."
        ) from error


def read_metadata(data: bytes, source: str) -> Any:
    """Our header in a safetensors file, as the JSON value that it is.

    Raises:
        VectorError: not a safetensors file, without a header of ours, or of a newer schema.
    """
    metadata = _safetensors_metadata(data, source)
    try:
        raw = json.loads(metadata[METADATA_KEY])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise VectorError(
            f"{source} is a safetensors file but not a selfsteer vector: it has no readable "
            f"'{METADATA_KEY}' header."
        ) from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise VectorError(
            f"{source} was written with schema version {version} by a newer selfsteer; this one "
            f"reads up to version {SCHEMA_VERSION}, so upgrade it."
        )
    return raw


def _read_header(data: bytes, source: str) -> VectorHeader:
    raw = read_metadata(data, source)
    try:
        return VectorHeader.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise VectorError(f"{source} has an invalid header: {where}: {first['msg']}.") from error


def _safetensors_metadata(data: bytes, source: str) -> dict[str, Any]:
    """Parse the metadata by hand: safetensors reads it from files only, and we read bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise VectorError(f"{source} is truncated or not a safetensors file.")
    try:
        parsed = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        raise VectorError(f"{source} is not a safetensors file: its header is not JSON.") from None
    metadata = parsed.get("__metadata__", {}) if isinstance(parsed, dict) else {}
    return metadata if isinstance(metadata, dict) else {}


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either all of it or what it held before.

    Raises:
        VectorError: the folder is missing or not writable, the name cannot be one, or the disk is
            full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise VectorError(f"Cannot write the vector to {path}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
