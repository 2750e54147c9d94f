"""Importing and exporting vectors: a student, its residual norms, and files on the disk."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfsteer.errors import VectorError
from selfsteer.steering.capture import capture
from selfsteer.steering.formats import foreign
from selfsteer.steering.formats.coefficients import coefficient_plan, strength_of
from selfsteer.steering.formats.exchange import (
    READABLE,
    detect_format,
    export_vector,
    import_vector,
    measure_residual_norms,
)
from selfsteer.steering.formats.foreign import FormatWarning
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector
from tests.steering.formats.makers import gguf, saved, svec
from tests.steering.students import BLOCKS, WIDTH, build_student, build_vector


@pytest.fixture(scope="module")
def student() -> Student:
    return build_student()


@pytest.fixture
def vector(student: Student) -> SteeringVector:
    """Without the layers that GGUF has no place for."""
    whole = build_vector(student)
    return replace(
        whole,
        directions={k: whole.directions[k] for k in (1, 2)},
        residual_norms={k: whole.residual_norms[k] for k in (1, 2)},
    )


def files(student: Student, folder: Path) -> dict[str, Path]:
    """One file of each format that can be read, with directions of length one or more."""
    rows = torch.arange(1.0, (BLOCKS + 1) * WIDTH + 1).reshape(BLOCKS + 1, WIDTH)
    contents = {
        "selfsteer": build_vector(student).to_bytes(),
        "gguf": gguf({f"direction.{k}": rows[k].tolist() for k in range(BLOCKS)}),
        "steering-vectors": saved({k: rows[k] for k in range(BLOCKS)}),
        "persona-vectors": saved(rows),
        "aisteer360": svec({k: rows[k : k + 1] for k in range(BLOCKS)}),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


def test_every_format_is_told_by_its_content_and_imported(student: Student, tmp_path: Path) -> None:
    found = files(student, tmp_path)
    assert set(found) == set(READABLE)
    for name, path in found.items():
        assert detect_format(path.read_bytes(), str(path)) == name
        vector = import_vector(path, student)
        assert import_vector(path, student, format=name) == vector
        vector.check_student(student)
        first = -1 if name in ("selfsteer", "persona-vectors") else 0
        last = BLOCKS - 1 if name != "persona-vectors" else BLOCKS - 2
        assert vector.layers == tuple(range(first, last + 1))
        assert SteeringVector.from_bytes(vector.to_bytes()) == vector


def test_what_an_imported_vector_says_of_itself(student: Student, tmp_path: Path) -> None:
    path = files(student, tmp_path)["persona-vectors"]
    vector = import_vector(path, student)
    assert (vector.method, vector.selector, vector.concept) == ("imported", "", "persona-vectors")
    assert vector.notes["format"] == "persona-vectors"
    assert vector.notes["file"] == "persona-vectors"
    assert len(vector.notes["sha256"]) == 64
    assert vector.notes["left_out"] == f"row {BLOCKS}, which is after the final norm"
    assert import_vector(path, student, concept="kind").concept == "kind"
    # row i is layer i - 1, and its length is kept
    assert vector.directions[-1][0] == 1
    assert vector.directions[1][0] == 2 * WIDTH + 1


def test_residual_norms_are_measured_or_given(student: Student, tmp_path: Path) -> None:
    path = files(student, tmp_path)["gguf"]
    measured = import_vector(path, student).residual_norms
    assert measured == measure_residual_norms(student, range(BLOCKS))
    text = "One text."
    (norm,) = measure_residual_norms(student, [1], [text]).values()
    alone = capture(student, [Prompt.raw(text)], [1], "all").norms
    assert norm == pytest.approx(float(alone))
    given = {0: 1.0, 1: 2.0, 2: 4.0}
    vector = import_vector(path, student, residual_norms=given)
    assert vector.residual_norms == given
    assert strength_of(vector, 2, 3.0) == pytest.approx(3 * float(vector.directions[2].norm()) / 4)
    with pytest.raises(VectorError, match="one residual norm for each layer"):
        import_vector(path, student, residual_norms={0: 1.0})


def test_gguf_comes_back_as_it_went(
    student: Student, vector: SteeringVector, tmp_path: Path
) -> None:
    path = tmp_path / "v.gguf"
    assert export_vector(vector, path, format="gguf", model_hint="llama") == (path,)
    again = import_vector(path, student)
    assert all(torch.equal(again.directions[k], vector.directions[k]) for k in (1, 2))
    assert again.notes["model_hint"] == "llama"
    export_vector(again, tmp_path / "again.gguf", format="gguf")
    assert (tmp_path / "again.gguf").read_bytes() == path.read_bytes()


def test_a_strength_makes_a_coefficient_of_one(
    student: Student, vector: SteeringVector, tmp_path: Path
) -> None:
    path = tmp_path / "v.gguf"
    export_vector(vector, path, format="gguf", strength=0.5)
    again = import_vector(path, student, residual_norms=vector.residual_norms)
    expected = Plan.single(vector, 1, 0.5).edits[0]
    (edit,) = coefficient_plan(again, 1.0, layers=[1]).edits
    assert edit.strength == pytest.approx(expected.strength)
    assert torch.allclose(again.unit(1), vector.unit(1), atol=1e-6)


def test_layers_without_a_place_are_named(student: Student, tmp_path: Path) -> None:
    whole = build_vector(student)
    path = tmp_path / "v.gguf"
    with pytest.warns(FormatWarning, match=r"layers \[-1, 0\]; they are left out"):
        export_vector(whole, path, format="gguf")
    assert import_vector(path, student).layers == (1, 2)
    first = replace(
        whole, directions={0: whole.directions[0]}, residual_norms={0: whole.residual_norms[0]}
    )
    with pytest.raises(VectorError, match="no place for layers"):
        export_vector(first, tmp_path / "none.gguf", format="gguf")
    assert not (tmp_path / "none.gguf").exists()


def test_a_spec_for_easysteer(student: Student, vector: SteeringVector, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = export_vector(vector, path, format="easysteer")
    assert written == (path, tmp_path / "spec.gguf")
    (spec,) = json.loads(path.read_text())["vectors"]
    assert spec == {
        "source": str(tmp_path / "spec.gguf"),
        "algorithm": "direct",
        "scale": 1.0,
        "layers": [1, 2],
        "apply": {"prompt": "all", "generation": "all"},
        "name": vector.id,
    }
    assert import_vector(spec["source"], student).layers == (1, 2)
    with pytest.raises(VectorError, match=r"name the spec \*\.json"):
        export_vector(vector, tmp_path / "v.gguf", format="easysteer")


def test_our_own_format_goes_through_unchanged(
    student: Student, vector: SteeringVector, tmp_path: Path
) -> None:
    path = tmp_path / "v.safetensors"
    assert export_vector(vector, path) == (path,)
    assert import_vector(path, student) == vector
    with pytest.raises(VectorError, match="leave the strength out"):
        export_vector(vector, path, strength=1.0)
    said = {"concept": vector.concept, "residual_norms": vector.residual_norms}
    assert import_vector(path, student, **said) == vector
    with pytest.raises(VectorError, match=r"for the concept 'random \d', .* leave the concept out"):
        import_vector(path, student, concept="kind")
    with pytest.raises(VectorError, match="residual norms are part of its id; leave them out"):
        import_vector(path, student, residual_norms={1: 1.0, 2: 1.0})
    with pytest.raises(VectorError, match="not from tiny-gpt2"):
        import_vector(path, build_student("gpt2"))


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 1e300])
def test_strengths_that_cannot_be_written(
    vector: SteeringVector, tmp_path: Path, strength: float
) -> None:
    with pytest.raises(VectorError, match=r"(not finite|does not fit)"):
        export_vector(vector, tmp_path / "v.gguf", format="gguf", strength=strength)


def test_formats_and_files_that_are_refused(
    student: Student, vector: SteeringVector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    with pytest.raises(VectorError, match="Cannot read"):
        import_vector(path, student)
    path.write_bytes(b"nothing that is known")
    with pytest.raises(VectorError, match="in no format that can be read"):
        import_vector(path, student)
    with pytest.raises(VectorError, match=r"'onnx'; it is one of selfsteer, gguf"):
        import_vector(path, student, format="onnx")
    with pytest.raises(VectorError, match=r"'onnx'; it is one of selfsteer, gguf, easysteer"):
        export_vector(vector, path, format="onnx")
    with pytest.raises(VectorError, match="not a GGUF file"):
        import_vector(path, student, format="gguf")
    monkeypatch.setattr(foreign, "MAX_BYTES", 8)
    with pytest.raises(VectorError, match="larger than"):
        import_vector(path, student)


@pytest.mark.parametrize(
    "tensors", [{"direction.1": [1.0] * (WIDTH - 1)}, {f"direction.{BLOCKS}": [1.0] * WIDTH}, {}]
)
def test_vectors_of_another_student(
    student: Student, tmp_path: Path, tensors: dict[str, list[float]]
) -> None:
    path = tmp_path / "v.gguf"
    path.write_bytes(gguf(tensors))
    with pytest.raises(VectorError, match=r"(width 32 and blocks 0 to 2|at one layer or more)"):
        import_vector(path, student)
