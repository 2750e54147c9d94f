"""`vectors` and `vector show|similar|export|import`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from selfsteer.app.commands import vectors
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.vectors import SteeringVector
from tests.app.conftest import Cli
from tests.memory.users.cast import direction, give
from tests.steering.formats.makers import saved
from tests.steering.students import BLOCKS, WIDTH, build_student


def vector_of(run: Run) -> str:
    return str((run.verdict or {})["vector_id"])


def test_vectors_say_what_they_were_accepted_for(cli: Cli, accepted: Run) -> None:
    rows = {row["id"]: row for row in json.loads(cli("vectors", "--json").stdout)["vectors"]}
    assert {row["selector"] for row in rows.values()} == {"response", "last"}
    row = rows.pop(vector_of(accepted))
    assert row["accepted_for"] == [accepted.goal]
    assert row["layers"] == [0, 1, 2]
    assert [other["accepted_for"] for other in rows.values()] == [[]]
    listing = cli("vectors").stdout.splitlines()
    assert sum("0 to 2" in line for line in listing) == 2
    assert all(any(f" {read} " in line for line in listing) for read in ("response", "last"))


def test_show_a_vector_of_memory_and_a_file_alike(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    name = vector_of(accepted)
    told = json.loads(cli("vector", "export", name, "v.safetensors", "--json").stdout)
    assert told["bytes"] == (tmp_path / "v.safetensors").stat().st_size
    assert SteeringVector.load(tmp_path / "v.safetensors").id == name
    shown = cli("vector", "show", name, "--json").stdout
    assert cli("vector", "show", "v.safetensors", "--json").stdout == shown
    assert [row["layer"] for row in json.loads(shown)["layers"]] == [0, 1, 2]
    assert f"id: {name}" in cli("vector", "show", name).stdout


def test_similar_vectors_are_ranked(cli: Cli, accepted: Run, memory: Memory) -> None:
    name = vector_of(accepted)
    near, far = 2.0 * memory.get_vector(name), -1.0 * memory.get_vector(name)
    memory.put_vector(near)
    memory.put_vector(far)
    told = json.loads(cli("vector", "similar", name, "--json").stdout)
    assert (told["id"], told["layer"]) == (name, 1)
    assert (told["similar"][0]["id"], told["similar"][-1]["id"]) == (near.id, far.id)
    assert told["similar"][0]["cosine"] == pytest.approx(1, abs=1e-6)
    assert name not in {row["id"] for row in told["similar"]}
    assert [row["accepted_for"] for row in told["similar"][:1]] == [[]]
    met = json.loads(cli("vector", "similar", near.id, "--json").stdout)["similar"]
    assert {row["id"]: row["accepted_for"] for row in met}[name] == [accepted.goal]
    assert accepted.goal in cli("vector", "similar", near.id).stdout
    shown = cli("vector", "similar", name, "--layer", 2, "--limit", 1).stdout
    assert "layer 2" in shown and near.id in shown and far.id not in shown
    refused = cli("vector", "similar", name, "--layer", 9)
    assert (refused.exit_code, "has no layer 9" in refused.stderr) == (2, True)


def test_export_replaces_nothing_unless_told(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    (tmp_path / "v").write_text("precious")
    assert cli("vector", "export", vector_of(accepted), "v").exit_code == 2
    assert (tmp_path / "v").read_text() == "precious"
    assert cli("vector", "export", vector_of(accepted), "v", "--force").exit_code == 0
    assert SteeringVector.load(tmp_path / "v").id == vector_of(accepted)


@pytest.fixture
def exported(cli: Cli, memory: Memory, tmp_path: Path) -> Path:
    """A file of Ann's vector; Bob has another one, and a third is nobody's."""
    for seed, name in enumerate(("ann", "bob")):
        memory.users.add(name)
        give(memory, name, direction(seed))
    memory.put_vector(direction(2))
    assert cli("vector", "export", direction(0).id, "v").exit_code == 0
    return tmp_path / "v"


def test_a_file_that_was_not_written_over_is_forgotten_with_its_owner(
    cli: Cli, memory: Memory, exported: Path
) -> None:
    for seed in (1, 2):
        words = ("vector", "export", direction(seed).id, "v", "--force", "--strength", 1)
        assert "leave the strength out" in cli(*words).stderr
    assert json.loads(cli("user", "forget", "ann", "--yes", "--json").stdout)["files"] == [
        str(exported)
    ]
    assert not exported.exists()


@pytest.mark.parametrize("seed", [1, 2], ids=["another user's", "nobody's"])
def test_a_file_that_was_written_over_is_not_forgotten_with_its_former_owner(
    cli: Cli, memory: Memory, exported: Path, seed: int
) -> None:
    assert cli("vector", "export", direction(seed).id, "v", "--force").exit_code == 0
    assert [file.user_id for file in memory.files.all()] == ["bob"][: 2 - seed]
    assert json.loads(cli("user", "forget", "ann", "--yes", "--json").stdout)["files"] == []
    assert SteeringVector.load(exported).id == direction(seed).id


def test_export_for_other_programs(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    name = vector_of(accepted)
    result = cli("vector", "export", name, "v.json", "--format", "easysteer", "--strength", 0.5)
    assert result.stdout.split() == ["v.json", "v.gguf"]
    assert "warning: GGUF control vectors have no place for layers [0]" in result.stderr
    # The spec is a new name, but the GGUF file that belongs to it is there.
    assert cli("vector", "export", name, "v.JSON", "--format", "easysteer").exit_code == 2
    told = json.loads(cli("vector", "export", name, "w", "--format", "gguf", "--json").stdout)
    assert told == {
        "id": name,
        "path": "w",
        "bytes": (tmp_path / "w").stat().st_size,
        "format": "gguf",
        "files": ["w"],
    }
    refused = cli("vector", "export", name, "x", "--format", "svec")
    assert refused.exit_code == 2
    assert "one of selfsteer, gguf, easysteer" in refused.stderr


def test_import_goes_into_memory_for_a_student(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = build_student()
    monkeypatch.setattr(vectors, "load_student", lambda *_: student)
    rows = torch.ones(BLOCKS + 1, WIDTH)
    (tmp_path / "kind.pt").write_bytes(saved(rows))
    told = json.loads(cli("vector", "import", "kind.pt", "--json").stdout)
    assert told["format"] == "persona-vectors"
    assert told["left_out"] == f"row {BLOCKS}, which is after the final norm"
    assert [row["layer"] for row in told["layers"]] == [-1, 0, 1]
    for row in told["layers"]:
        assert row["strength"] == pytest.approx(WIDTH**0.5 / row["norm"])
    shown = json.loads(cli("vector", "show", told["id"], "--json").stdout)
    assert (shown["concept"], shown["method"]) == ("kind", "imported")
    assert shown["student_fingerprint"] == student.fingerprint
    told_again = cli("vector", "import", "kind.pt", "--concept", "kinder")
    assert "left out: row 3" in told_again.stdout
    listed = json.loads(cli("vectors", "--json").stdout)["vectors"]
    assert [row["concept"] for row in listed] == ["kind", "kinder"]


def test_import_refuses_what_is_no_vector(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "load_student", lambda *_: build_student())
    (tmp_path / "f").write_text("no vector")
    result = cli("vector", "import", "f")
    assert result.exit_code == 2
    assert "in no format that can be read" in result.stderr
    assert not (tmp_path / "selfsteer.db").exists()


@pytest.mark.parametrize("command", ["show", "export"])
def test_an_unknown_vector(cli: Cli, accepted: Run, command: str) -> None:
    file = ["v"] if command == "export" else []
    result = cli("vector", command, "0123456789abcdef", *file)
    assert result.exit_code == 2
    assert "holds no vector 0123456789abcdef" in result.stderr
