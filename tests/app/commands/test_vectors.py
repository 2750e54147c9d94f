"""`vectors` and `vector show|export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfsteer.memory.records import Run
from selfsteer.steering.vectors import SteeringVector
from tests.app.conftest import Cli


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


def test_export_replaces_nothing_unless_told(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    (tmp_path / "v").write_text("precious")
    assert cli("vector", "export", vector_of(accepted), "v").exit_code == 2
    assert (tmp_path / "v").read_text() == "precious"
    assert cli("vector", "export", vector_of(accepted), "v", "--force").exit_code == 0
    assert SteeringVector.load(tmp_path / "v").id == vector_of(accepted)


@pytest.mark.parametrize("command", ["show", "export"])
def test_an_unknown_vector(cli: Cli, accepted: Run, command: str) -> None:
    file = ["v"] if command == "export" else []
    result = cli("vector", command, "0123456789abcdef", *file)
    assert result.exit_code == 2
    assert "holds no vector 0123456789abcdef" in result.stderr
