"""Files of other libraries, made in memory, and ways to damage them."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import torch

BYTES = (0, 1, 2, 127, 128, 255)


def saved(value: Any) -> bytes:
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def svec(directions: dict[int, Any], **further: Any) -> bytes:
    """What AISteer360 writes: JSON, in which layers are text and tensors are nested lists."""
    lists = {
        str(layer): value.tolist() if isinstance(value, torch.Tensor) else value
        for layer, value in directions.items()
    }
    return json.dumps({"model_type": "llama", "directions": lists} | further).encode()


def mutations(original: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies with bytes changed, put in or taken out, and with their end cut off."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            at, length = rng.randrange(len(data) or 1), rng.randint(1, 8)
            kind = rng.random()
            if kind < 0.7 and data:
                data[at] = rng.choice(BYTES) if rng.random() < 0.5 else rng.randrange(256)
            elif kind < 0.8:
                del data[at:]
            elif kind < 0.9:
                data[at:at] = rng.randbytes(length)
            else:
                del data[at : at + length]
        yield bytes(data)


def repickled(archive: bytes, change: Callable[[bytes], bytes], compress: bool = False) -> bytes:
    """A file of `torch.save` with another pickle in it, and with checksums that are right."""
    buffer = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", how) as new:
        for part in old.infolist():
            data = old.read(part)
            new.writestr(part.filename, change(data) if part.filename.endswith(".pkl") else data)
    return buffer.getvalue()


def with_twin(archive: bytes, name: str, data: bytes) -> bytes:
    """A file of `torch.save` with one part more, under a name beside that of its pickle."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as file:
        pickle = next(one for one in file.namelist() if one.endswith("data.pkl"))
        file.writestr(pickle.removesuffix("data.pkl") + name, data)
    return buffer.getvalue()


def gguf(
    tensors: dict[str, list[float]],
    metadata: dict[str, str | int] | None = None,
    *,
    version: int = 3,
    kind: int = 0,
    dimensions: int = 1,
    offset: int = 0,
) -> bytes:
    """A GGUF file written by hand from its specification, as wrong as it is asked to be."""
    entries = {"general.architecture": "controlvector"} if metadata is None else metadata
    out = bytearray(b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)))

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    for key, value in entries.items():
        out += text(key)
        out += struct.pack("<I", 8) + text(value) if isinstance(value, str) else b""
        out += struct.pack("<II", 4, value) if isinstance(value, int) else b""
    body = bytearray()
    for name, values in tensors.items():
        out += text(name) + struct.pack("<I", dimensions) + struct.pack("<Q", len(values))
        out += struct.pack("<IQ", kind, len(body) + offset)
        body += struct.pack(f"<{len(values)}f", *values)
        body += bytes(-len(body) % 32)
    out += bytes(-len(out) % 32)
    return bytes(out + body)
