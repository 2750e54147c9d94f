"""GGUF control vectors: what llama.cpp applies and what repeng reads and writes.

One F32 tensor ``direction.<layer>`` of shape ``[d_model]`` for each layer, under the architecture
``controlvector``. Layer k is the output of decoder block k in both programs, as it is here: repeng
wraps block k, and llama.cpp adds direction k to what leaves block k. llama.cpp has no place for
layer 0 and refuses a file that names it, and neither program knows the embedding output, so layers
-1 and 0 are never written; repeng does read and write layer 0, so it is read.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import Foreign, shown
from selfsteer.steering.formats.gguf_container import read_container

ARCHITECTURE = "controlvector"
FIRST_LAYER = 1
_HINT = f"{ARCHITECTURE}.model_hint"
_COUNT = f"{ARCHITECTURE}.layer_count"
_NAME = re.compile(r"direction\.(0|[1-9][0-9]{0,5})")


def encode_control_vector(directions: Mapping[int, Tensor], model_hint: str) -> bytes:
    """A GGUF file, through the package ``gguf``; the same directions give the same bytes.

    Args:
        directions: ``[layer] -> [d_model]``, layers from 1 on.
        model_hint: the architecture of the model, such as ``llama``; repeng wants one.

    Raises:
        VectorError: layers that the format has no place for, an empty hint, or ``gguf`` missing.
    """
    if not directions or min(directions) < FIRST_LAYER or not model_hint:
        raise VectorError(
            f"A GGUF control vector needs a model hint and layers from {FIRST_LAYER} on; this has "
            f"the hint {model_hint!r} and layers {sorted(directions)}."
        )
    gguf = _gguf()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vector.gguf")
        writer = gguf.GGUFWriter(path, ARCHITECTURE)
        try:
            writer.add_string(_HINT, model_hint)
            writer.add_uint32(_COUNT, len(directions))
            for layer in sorted(directions):
                writer.add_tensor(f"direction.{layer}", directions[layer].float().cpu().numpy())
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
        return path.read_bytes()


def decode_control_vector(data: bytes, source: str) -> Foreign:
    """Read a GGUF control vector of llama.cpp, repeng or ours.

    Raises:
        VectorError: not GGUF, truncated, of another architecture, not F32, or with tensors that are
            no directions.
    """
    container = read_container(data, source)
    architecture = container.metadata.get("general.architecture")
    if architecture != ARCHITECTURE:
        raise VectorError(
            f"{source} is GGUF of the architecture {shown(architecture)}; a control vector has "
            f"{ARCHITECTURE!r}."
        )
    directions: dict[int, Tensor] = {}
    for name, tensor in container.tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise VectorError(
                f"{source} holds a tensor named {shown(name)}; a control vector holds only "
                "'direction.<layer>'."
            )
        directions[int(match[1])] = tensor
    hint = container.metadata.get(_HINT)
    return Foreign(directions, {"model_hint": hint} if isinstance(hint, str) else {})


def _gguf() -> Any:
    try:
        return import_module("gguf")
    except ImportError as error:
        raise VectorError(
            "Writing GGUF needs the package gguf; install it with: pip install 'selfsteer[gguf]'."
        ) from error
