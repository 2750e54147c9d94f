"""What every reader of another library's file returns, and the bounds that all of them keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue
from torch import Tensor

from selfsteer.errors import VectorError

MAX_BYTES = 256 * 2**20
"""No vector file is larger: 200 layers of width 65,536 in float32 take 50 MiB."""

_SHOWN = 60  # characters


class FormatWarning(UserWarning):
    """Something of a vector has no place in the format that it is written to or read from."""


@dataclass(frozen=True)
class Foreign:
    """A vector as another library keeps it, in our layers.

    Attributes:
        directions: ``[layer] -> [d_model]``; layer k is the output of decoder block k, -1 the
            embedding output.
        notes: what else the file says, JSON values only.
    """

    directions: dict[int, Tensor]
    notes: Mapping[str, JsonValue] = field(default_factory=dict)


def read_bounded(path: Path) -> bytes:
    """The whole file.

    Raises:
        VectorError: the file cannot be read, or is larger than any vector.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise VectorError(f"Cannot read the vector file {path}: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise VectorError(
            f"{path} is larger than {MAX_BYTES // 2**20} MiB, so it is no steering vector."
        )
    return data


def shown(value: object) -> str:
    """A value of a hostile file in an error: short, whatever it is."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
