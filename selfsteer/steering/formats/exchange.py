"""Vectors to and from other libraries: which formats there are, and what is converted on the way.

| format | read | written | what it is |
|---|---|---|---|
| selfsteer | yes | yes | our safetensors file: nothing is lost |
| gguf | yes | yes | control vectors of llama.cpp and repeng |
| steering-vectors | yes | no | its object, or the fields of it, from `torch.save` |
| persona-vectors | yes | no | one tensor, a row for each hidden state, from `torch.save` |
| aisteer360 | yes | no | its `.svec`, JSON with one direction for each layer |
| easysteer | no | yes | a JSON spec, and a GGUF control vector beside it |
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.capture import capture
from selfsteer.steering.formats.aisteer360 import decode_aisteer360
from selfsteer.steering.formats.coefficients import as_added
from selfsteer.steering.formats.control_vector import (
    FIRST_LAYER,
    decode_control_vector,
    encode_control_vector,
)
from selfsteer.steering.formats.easysteer import steering_spec
from selfsteer.steering.formats.foreign import Foreign, FormatWarning, read_bounded, shown
from selfsteer.steering.formats.native import write_atomically
from selfsteer.steering.formats.persona_vectors import decode_persona_vectors
from selfsteer.steering.formats.steering_vectors import CLASSES, decode_steering_vectors
from selfsteer.steering.formats.torch_file import load_torch_file
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector

_READERS: dict[str, Callable[[bytes, str, int], Foreign]] = {
    "gguf": lambda data, source, _: decode_control_vector(data, source),
    "steering-vectors": decode_steering_vectors,
    "persona-vectors": decode_persona_vectors,
    "aisteer360": lambda data, source, _: decode_aisteer360(data, source),
}
NATIVE = "selfsteer"
READABLE = (NATIVE, *_READERS)
WRITABLE = (NATIVE, "gguf", "easysteer")

# Plain prose of several kinds: residual norms hardly depend on what is said.
_TEXTS = (
    "The train leaves at nine in the morning and arrives shortly before noon.",
    "I have not decided yet what to cook tonight. Do you have an idea?",
    "Water boils at a lower temperature in the mountains, because the air is thinner there.",
    "She closed the book, looked out of the window and said nothing for a while.",
)


def import_vector(
    path: str | Path,
    student: Student,
    *,
    format: str | None = None,
    concept: str | None = None,
    residual_norms: Mapping[int, float] | None = None,
) -> SteeringVector:
    """Read a vector that another library wrote, for a student.

    The directions keep their lengths, so that a coefficient c of the other library is the strength
    `strength_of(vector, layer, c)` here, and `coefficient_plan(vector, c)` does all that c does.

    Args:
        path: the file.
        student: the model that the vector belongs to; nothing in the foreign formats says which.
        format: one of `READABLE`; None to tell by the content.
        concept: what the vector steers towards; None for the name of the file.
        residual_norms: ``[layer] ->`` mean L2 norm of the student's residual, the unit of strength;
            None to measure it with :func:`measure_residual_norms`.

    Raises:
        VectorError: an unknown format, a file that is damaged or unfit for the student, or residual
            norms that lack a layer. A file of our own must be this student's, and says its concept
            and residual norms itself: another one of either is refused.
    """
    path = Path(path)
    data = read_bounded(path)
    format = detect_format(data, str(path)) if format is None else format
    if format == NATIVE:
        vector = SteeringVector.from_bytes(data, str(path))
        vector.check_student(student)
        _check_said(vector, concept, residual_norms, str(path))
        return vector
    if format not in _READERS:
        raise VectorError(
            f"Vectors cannot be read from the format {format!r}; it is one of "
            f"{', '.join(READABLE)}."
        )
    found = _READERS[format](data, str(path), student.n_layers)
    _check_fit(found.directions, student, str(path))
    layers = sorted(found.directions)
    norms = measure_residual_norms(student, layers) if residual_norms is None else residual_norms
    return SteeringVector(
        directions=found.directions,
        residual_norms={layer: norms[layer] for layer in layers if layer in norms},
        method="imported",
        selector="",
        concept=path.stem if concept is None else concept,
        dataset_id="",
        student_fingerprint=student.fingerprint,
        notes={
            "format": format,
            "file": path.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            **found.notes,
        },
    )


def _check_said(
    vector: SteeringVector,
    concept: str | None,
    residual_norms: Mapping[int, float] | None,
    source: str,
) -> None:
    """Refuse to call a vector of ours something else: its id covers what it says of itself."""
    if concept is not None and concept != vector.concept:
        raise VectorError(
            f"{source} is a vector of our own, for the concept {shown(vector.concept)}, which is "
            "part of its id; leave the concept out."
        )
    if residual_norms is not None and dict(residual_norms) != vector.residual_norms:
        raise VectorError(
            f"{source} is a vector of our own, whose residual norms are part of its id; leave them "
            "out."
        )


def detect_format(data: bytes, source: str) -> str:
    """One of `READABLE`, by the first bytes and, in files of `torch.save`, by what they hold.

    Raises:
        VectorError: none of them.
    """
    if data[:4] == b"GGUF":
        return "gguf"
    if data[:2] == b"PK":
        loaded = load_torch_file(data, source, CLASSES)
        return "persona-vectors" if isinstance(loaded, Tensor) else "steering-vectors"
    # The length before the header of safetensors ends in zeros, which text never holds.
    if data[8:9] == b"{" and 0 in data[:8]:
        return NATIVE
    if data[:64].lstrip().startswith(b"{"):
        return "aisteer360"
    raise VectorError(
        f"{source} is in no format that can be read; these are {', '.join(READABLE)}."
    )


def measure_residual_norms(
    student: Student, layers: Sequence[int], texts: Sequence[str] = _TEXTS
) -> dict[int, float]:
    """The mean L2 norm of the student's residual over the ordinary tokens of some texts, per layer.

    Raises:
        StudentError: a layer does not exist.
        SelectorError: a text without tokens.
    """
    prompts = [Prompt.raw(text) for text in texts]
    norms = capture(student, prompts, layers, "all").norms.double().mean(dim=1)
    return dict(zip(layers, norms.tolist(), strict=True))


def export_vector(
    vector: SteeringVector,
    path: str | Path,
    *,
    format: str = NATIVE,
    strength: float | None = None,
    model_hint: str | None = None,
) -> tuple[Path, ...]:
    """Write a vector for another library, whole or not at all; returns the files.

    GGUF has no place for the layers -1 and 0: they are left out, with a `FormatWarning`.

    Args:
        path: the file; for easysteer the JSON spec, with the GGUF file of the same name beside it.
        format: one of `WRITABLE`.
        strength: the strength, in residual norms, that a coefficient of 1 gives at every layer;
            None to write the raw directions.
        model_hint: the architecture that repeng wants to read, such as ``llama``; None for what the
            vector was imported with, or ``unknown``.

    Raises:
        VectorError: an unknown format, a strength that is not finite or for our own format, no
            layer that the format has a place for, ``gguf`` missing, or a file that cannot be
            written.
    """
    files = written_files(path, format)
    if format == NATIVE:
        if strength is not None:
            raise VectorError("Our own format keeps the raw directions; leave the strength out.")
        vector.save(path)
        return files
    directions = _placed(_scaled(vector, strength))
    hint = model_hint or str(vector.notes.get("model_hint") or "unknown")
    gguf = files[-1]
    write_atomically(gguf, encode_control_vector(directions, hint))
    if format == "easysteer":
        spec = steering_spec(str(gguf), sorted(directions), vector.id)
        write_atomically(files[0], spec.encode())
    return files


def written_files(path: str | Path, format: str) -> tuple[Path, ...]:
    """The files that :func:`export_vector` writes.

    Raises:
        VectorError: an unknown format, or a spec that would have the name of its GGUF file.
    """
    path = Path(path)
    if format not in WRITABLE:
        raise VectorError(
            f"Vectors cannot be written in the format {format!r}; it is one of "
            f"{', '.join(WRITABLE)}."
        )
    if format != "easysteer":
        return (path,)
    gguf = path.with_suffix(".gguf")
    if gguf == path:
        raise VectorError(f"{path} is where the GGUF file goes; name the spec *.json.")
    return path, gguf


def _scaled(vector: SteeringVector, strength: float | None) -> Mapping[int, Tensor]:
    if strength is None:
        return vector.directions
    if not math.isfinite(strength):
        raise VectorError(f"Strength {strength} is not finite; give a number.")
    directions = as_added(vector, strength)
    for layer, direction in directions.items():
        if not direction.float().isfinite().all():
            raise VectorError(f"At strength {strength}, layer {layer} does not fit into float32.")
    return directions


def _placed(directions: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The layers that GGUF has a place for; says which are lost."""
    kept = {layer: value for layer, value in directions.items() if layer >= FIRST_LAYER}
    lost = sorted(directions.keys() - kept.keys())
    if not kept:
        raise VectorError(
            f"GGUF control vectors have no place for layers {lost}, and the vector has no others; "
            f"they start at {FIRST_LAYER}."
        )
    if lost:
        warnings.warn(
            f"GGUF control vectors have no place for layers {lost}; they are left out.",
            FormatWarning,
            stacklevel=3,
        )
    return kept


def _check_fit(directions: Mapping[int, Tensor], student: Student, source: str) -> None:
    """Refuse what does not fit before anything is copied."""
    for layer, direction in directions.items():
        if tuple(direction.shape) != (student.d_model,) or layer >= student.n_layers:
            raise VectorError(
                f"{source} has a direction of shape {list(direction.shape)} at layer {layer}; "
                f"student {student.name} has width {student.d_model} and blocks 0 to "
                f"{student.n_layers - 1}."
            )
