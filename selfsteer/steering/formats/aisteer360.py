"""Vectors of IBM's AISteer360: JSON in a ``.svec`` file.

``directions`` holds for each layer, under its number as text, K rows of numbers ``[K, D]``, or in
older files the one row ``[D]``. Its methods for the residual stream (CAA, CAST) hook the output of
block k, so that layer k is our layer k, and have K = 1. More rows are something else for each of
its methods (one for each position, a basis of a plane, one for each attention head, where the file
also says ``num_heads``), and the file does not say which.
"""

from __future__ import annotations

import json
import re
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import Foreign, shown

_LAYER = re.compile(r"0|[1-9][0-9]{0,5}")
# Values as Python objects take many times their bytes in the file: 200 layers of width 65,536.
_MAX_VALUES = 2**24


def decode_aisteer360(data: bytes, source: str) -> Foreign:
    """Read a ``.svec`` file with one direction for each layer.

    Raises:
        VectorError: not such a file, damaged, or with several directions for a layer.
    """
    parsed = _parsed(data, source)
    rows = parsed.get("directions") if isinstance(parsed, dict) else None
    if not isinstance(rows, dict) or not rows:
        raise VectorError(f"{source} is JSON without directions, so it is no .svec of AISteer360.")
    if parsed.get("num_heads") is not None:
        raise VectorError(
            f"{source} steers attention heads, which lie inside a block; only directions of the "
            "residual stream can be imported."
        )
    directions: dict[int, Tensor] = {}
    for key, value in rows.items():
        if _LAYER.fullmatch(key) is None:
            raise VectorError(f"{source} has a direction for layer {shown(key)}, which is none.")
        directions[int(key)] = _direction(value, int(key), source)
    notes: dict[str, JsonValue] = {}
    if isinstance(parsed.get("model_type"), str):
        notes["model_type"] = parsed["model_type"]
    if _is_measured(parsed.get("explained_variances")):
        notes["explained_variances"] = parsed["explained_variances"]
    return Foreign(directions, notes)


def _parsed(data: bytes, source: str) -> Any:
    """The JSON of the file, its numbers as floats; NaN and infinity are refused."""
    if data.count(b",") + data.count(b"[") > _MAX_VALUES:
        raise VectorError(f"{source} holds more values than any steering vector.")
    try:
        return json.loads(data.decode(), parse_int=float, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = shown(str(error)) if isinstance(error, ValueError) else "nested too deeply"
        raise VectorError(f"{source} is truncated or no JSON ({reason}).") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _direction(value: object, layer: int, source: str) -> Tensor:
    """``[D]`` float32 from ``[D]`` or ``[1, D]`` as lists."""
    row = value
    if isinstance(row, list) and row and isinstance(row[0], list):
        if len(row) > 1:
            raise VectorError(
                f"{source} has {len(row)} directions for layer {layer}. Whether they are "
                "positions, the axes of a plane or attention heads, such a file does not say; only "
                "those with one direction a layer can be imported."
            )
        row = row[0]
    if not isinstance(row, list) or not row or not all(type(item) is float for item in row):
        raise VectorError(f"{source} has no list of numbers as the direction of layer {layer}.")
    return torch.tensor(row, dtype=torch.float32)


def _is_measured(value: object) -> bool:
    return isinstance(value, dict) and all(type(item) is float for item in value.values())
