"""Capability questions as files: what retention is measured on."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from selfsteer.errors import DatasetError, StudentError
from selfsteer.pocket.weights import CAPABILITY, FOLDERS, weights_path
from selfsteer.steering.metrics.retention import CapabilityItem


def load_capability(path: Path) -> list[CapabilityItem]:
    """Read JSON lines of `{"question": str, "answers": [str, ...]}`.

    Raises:
        DatasetError: no such file, no lines, or a line of another form (with its number).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"Cannot read the capability questions {path}: {error}.") from error
    items = []
    for number, line in enumerate(lines, start=1):
        try:
            items.append(CapabilityItem.model_validate_json(line))
        except ValidationError as error:
            raise DatasetError(
                f"Line {number} of {path} is not a capability question; it should be "
                '{"question": "...", "answers": ["..."]}.'
            ) from error
    if not items:
        raise DatasetError(f"{path} holds no capability questions.")
    return items


def bundled_capability(student_name: str) -> list[CapabilityItem]:
    """The questions that lie beside a student's weights; none where there is no such file.

    Raises:
        DatasetError: the file is malformed.
    """
    if student_name in FOLDERS:
        try:
            folder = weights_path(student_name)
        except StudentError:
            return []
    else:
        folder = Path(student_name)
    path = folder / CAPABILITY
    return load_capability(path) if path.is_file() else []
