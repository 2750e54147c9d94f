"""Files of `torch.save` that may be hostile: tensors in plain containers, and nothing else.

`torch.load(weights_only=True)` builds no objects but those on its list. Before it sees a file, the
file must be a zip archive whose parts are stored as they are (a compressed part could unpack to any
size), and its instructions may name tensors, their storages and the classes given here only: the
list of torch is wider, and holds constructors that allocate as much as a file asks for. What torch
sees is a new archive of those parts: its reader of zip files is another than Python's, and goes by
other names (it takes DATA.PKL for data.pkl).
"""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.formats.foreign import shown

_ALLOWED = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        *(f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double")),
    }
)
_PROTOCOL = 2  # of pickles, by default of torch.save
_MAX_INSTRUCTIONS = 10**6


def load_torch_file(data: bytes, source: str, classes: Mapping[str, type] | None = None) -> Any:
    """What a file of `torch.save` holds, its tensors on the CPU.

    Args:
        data: the whole file.
        source: what to call the file in an error.
        classes: by the module and the name in the file, separated by a dot: what stands in for a
            class of another library. Attributes are set on it, and nothing is called.

    Raises:
        VectorError: not a zip file of `torch.save`, damaged, or with anything but tensors in it.
    """
    classes = classes or {}
    allowed = _ALLOWED | {" ".join(name.rsplit(".", 1)) for name in classes}
    parts = _parts(data, source)
    _check_instructions(_instructions(parts, source), allowed, source)
    stand_ins: list[Any] = [(stand_in, name) for name, stand_in in classes.items()]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(_archive(parts), map_location="cpu", weights_only=True)
    except Exception as error:  # of damaged files it raises whatever its parts raise
        reason = " ".join(str(error).split())[:120]
        raise VectorError(f"{source} is damaged: torch cannot read it ({reason}).") from error


def check_direction(value: object, size: int, source: str) -> Tensor:
    """A tensor that is no larger than the file it came from, which a view of stride 0 can be.

    Args:
        size: of the file, in bytes.

    Raises:
        VectorError: something else.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise VectorError(f"{source} holds a {type(value).__name__} where a tensor should be.")
    if value.numel() * value.element_size() > size:
        raise VectorError(f"{source} is damaged: a tensor in it is larger than the file.")
    return value


def _parts(data: bytes, source: str) -> dict[str, bytes]:
    """The parts of the archive by name; no two names differ in case only."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            if any(part.compress_type != zipfile.ZIP_STORED for part in listed):
                raise VectorError(f"{source} has compressed parts; torch.save writes none.")
            if sum(part.file_size for part in listed) > len(data):
                raise VectorError(f"{source} is damaged: its parts are larger than the file.")
            if len({part.filename.casefold() for part in listed}) < len(listed):
                raise VectorError(
                    f"{source} has two parts whose names differ in case only, or not at all; "
                    "torch.save writes none."
                )
            return {part.filename: archive.read(part) for part in listed}
    except VectorError:
        raise
    except Exception as error:  # of damaged archives it raises whatever its parts raise
        raise VectorError(f"{source} is not a file of torch.save, or is truncated.") from error


def _instructions(parts: Mapping[str, bytes], source: str) -> bytes:
    """The pickle among the parts."""
    pickles = [name for name in parts if name.casefold().endswith("/data.pkl")]
    if len(pickles) != 1:
        raise VectorError(f"{source} is a zip file, but torch.save did not write it.")
    return parts[pickles[0]]


def _archive(parts: Mapping[str, bytes]) -> io.BytesIO:
    """A zip file of these parts, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    buffer.seek(0)
    return buffer


def _check_instructions(instructions: bytes, allowed: frozenset[str], source: str) -> None:
    """Refuse names that are not allowed; nothing is executed."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of text in damaged pickles
            for number, (code, argument, _) in enumerate(pickletools.genops(instructions)):
                if number > _MAX_INSTRUCTIONS:
                    raise VectorError(f"{source} holds more than a steering vector.")
                named = code.name == "GLOBAL"
                if (argument not in allowed) if named else _is_unfit(code.name, argument):
                    raise VectorError(
                        f"{source} asks for {shown(argument if named else code.name)}; only "
                        "tensors in plain dictionaries are read, and nothing is executed."
                    )
    except VectorError:
        raise
    except Exception as error:  # of damaged pickles it raises whatever its parts raise
        raise VectorError(f"{source} is damaged: its pickle cannot be parsed.") from error


def _is_unfit(code: str, argument: object) -> bool:
    """Instructions that torch.save does not write, and that could name things out of our sight."""
    if code == "PROTO":
        return argument != _PROTOCOL
    return code in {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"}
