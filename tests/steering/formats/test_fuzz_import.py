"""Damaged files on the way that a user's file takes: told by content, and fitted to a student.

Beside `test_fuzz`, which goes to each reader by name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from selfsteer.errors import VectorError
from selfsteer.steering.formats.exchange import READABLE, detect_format, import_vector
from selfsteer.steering.model import Student
from tests.steering.formats.makers import gguf, mutations, saved, svec
from tests.steering.formats.test_fuzz import LONGEST_MESSAGE
from tests.steering.students import BLOCKS, WIDTH, build_student, build_vector

NORMS = dict.fromkeys(range(-1, BLOCKS), 1.0)
ROWS = torch.linspace(-1, 1, (BLOCKS + 1) * WIDTH).reshape(BLOCKS + 1, WIDTH)


@pytest.fixture(scope="module")
def student() -> Student:
    return build_student()


def whole(student: Student, format: str) -> bytes:
    """A file of a format."""
    return {
        "selfsteer": build_vector(student).to_bytes,
        "gguf": lambda: gguf({f"direction.{k}": ROWS[k].tolist() for k in range(BLOCKS)}),
        "steering-vectors": lambda: saved({k: ROWS[k] for k in range(BLOCKS)}),
        "persona-vectors": lambda: saved(ROWS),
        "aisteer360": lambda: svec({k: ROWS[k : k + 1] for k in range(BLOCKS)}),
    }[format]()


@pytest.mark.parametrize("format", READABLE)
def test_damaged_files_are_imported_or_refused(
    student: Student, tmp_path: Path, format: str
) -> None:
    path = tmp_path / "f"
    # Our own files bring their norms; for others they need not be measured a thousand times.
    norms = None if format == "selfsteer" else NORMS
    original = whole(student, format)
    path.write_bytes(original)
    assert import_vector(path, student, residual_norms=norms).layers
    refused, told = 0, set()
    for damaged in mutations(original, 1000):
        path.unlink()  # some file systems wait for the disk when a file is written over
        path.write_bytes(damaged)
        try:
            told.add(detect_format(damaged, "f"))
            vector = import_vector(path, student, residual_norms=norms)
        except VectorError as error:
            assert len(str(error)) < LONGEST_MESSAGE + len(str(path))
            refused += 1
        else:
            vector.check_student(student)
            assert all(direction.isfinite().all() for direction in vector.directions.values())
    assert format in told
    assert refused > 100


def test_any_bytes_at_all(student: Student, tmp_path: Path) -> None:
    """The first bytes of each format, with anything behind them."""
    path = tmp_path / "f"
    starts = (b"GGUF", b"PK\x03\x04", b"\x08" + bytes(7) + b"{", b"{", b"")
    for start in starts:
        for rest in mutations(bytes(64), 200):
            path.unlink(missing_ok=True)
            path.write_bytes(start + rest)
            with pytest.raises(VectorError):
                import_vector(path, student, residual_norms=NORMS)
