"""`memory check|gc|backup|export|import|search`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.memory.damage import alter_blob


def vector_of(run: Run) -> str:
    return str((run.verdict or {})["vector_id"])


def test_a_memory_after_a_run_is_sound(cli: Cli, accepted: Run, recalled: Run) -> None:
    told = json.loads(cli("memory", "check", "--json").stdout)
    assert (told["sound"], told["faults"]) == (True, [])
    assert told["blobs"] > 3
    shown = cli("memory", "check")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [f"{told['blobs']} blobs, {told['size']} bytes: 0 faults"]


def test_an_altered_blob_is_told_and_put_in_quarantine(
    cli: Cli, accepted: Run, tmp_path: Path
) -> None:
    name = vector_of(accepted)
    alter_blob(tmp_path / "selfsteer.db", name)
    result = cli("memory", "check")
    assert result.exit_code == 1
    assert f"vector {name}" in result.stdout and result.stderr == ""
    refused = cli("vector", "show", name)
    assert (refused.exit_code, "in quarantine" in one_sentence(refused.stderr)) == (2, True)
    listed = json.loads(cli("vectors", "--json").stdout)["vectors"]
    assert listed and name not in {row["id"] for row in listed}


@pytest.mark.parametrize(
    "words",
    [["check"], ["gc"], ["backup", "b.db"], ["export", "b.zip"], ["search", "grumpy"]],
    ids=lambda words: words[0],
)
def test_a_memory_of_a_newer_version_is_one_sentence(
    cli: Cli, accepted: Run, tmp_path: Path, words: list[str]
) -> None:
    with sqlite3.connect(tmp_path / "selfsteer.db") as raw:
        raw.execute("PRAGMA user_version = 999")
    result = cli("memory", *words)
    assert result.exit_code == 2
    assert "newer selfsteer" in one_sentence(result.stderr)


@pytest.mark.parametrize("words", [["check"], ["gc"], ["export", "b.zip"], ["search", "grumpy"]])
def test_without_a_memory_none_is_made(cli: Cli, tmp_path: Path, words: list[str]) -> None:
    result = cli("memory", *words)
    assert (result.exit_code, "no memory at" in one_sentence(result.stderr)) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_gc_lists_first_and_deletes_when_told(cli: Cli, accepted: Run, memory: Memory) -> None:
    left = memory.put_blob("generations", b"x" * 5000)
    listed = json.loads(cli("memory", "gc", "--hours", 0, "--json").stdout)
    assert listed["blobs"] == [{"id": left, "kind": "generations", "bytes": 5000}]
    assert (listed["deleted"], listed["bytes"]) == (False, 5000)
    shown = cli("memory", "gc", "--hours", 0).stdout
    assert left in shown and "1 blobs, 5000 bytes to delete" in shown
    assert memory.get_blob("generations", left)
    assert "0 blobs" in cli("memory", "gc", "--yes").stdout  # younger than a day
    assert "1 blobs, 5000 bytes deleted" in cli("memory", "gc", "--yes", "--hours", 0).stdout
    assert "0 blobs" in cli("memory", "gc", "--hours", 0).stdout
    assert cli("memory", "check").exit_code == 0
    assert cli("report", accepted.id).exit_code == 0


def test_backup_is_a_memory_and_replaces_nothing(
    cli: Cli, accepted: Run, memory: Memory, tmp_path: Path
) -> None:
    told = json.loads(cli("memory", "backup", "b.db", "--json").stdout)
    assert told == {"path": "b.db", "bytes": (tmp_path / "b.db").stat().st_size}
    assert cli("runs", "--db", "b.db", "--json").stdout == cli("runs", "--json").stdout
    result = cli("memory", "backup", "b.db")
    assert (result.exit_code, "b.db exists" in one_sentence(result.stderr)) == (2, True)
    assert cli("memory", "check", "--db", "b.db").exit_code == 0


def test_a_run_goes_to_another_memory(cli: Cli, accepted: Run, memory: Memory) -> None:
    told = json.loads(cli("memory", "export", "b.zip", "--run", accepted.id, "--json").stdout)
    assert told["runs"] == [accepted.id]
    assert vector_of(accepted) in told["artefacts"]
    added = json.loads(cli("memory", "import", "b.zip", "--db", "new.db", "--json").stdout)
    assert added == {"runs": told["runs"], "artefacts": told["artefacts"]}
    assert "0 runs and 0 blobs" in cli("memory", "import", "b.zip", "--db", "new.db").stdout
    assert cli("memory", "check", "--db", "new.db").exit_code == 0
    assert cli("report", accepted.id, "--db", "new.db").exit_code == 0
    assert cli("runs", "--db", "new.db", "--json").stdout == cli("runs", "--json").stdout


def test_an_import_of_nothing_makes_no_memory(cli: Cli, tmp_path: Path) -> None:
    result = cli("memory", "import", "none.zip")
    assert (result.exit_code, "no bundle at" in one_sentence(result.stderr)) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_search_ranks_what_is_known(cli: Cli, accepted: Run) -> None:
    found = json.loads(cli("memory", "search", accepted.goal, "--json").stdout)["found"]
    assert {"kind", "owner", "snippet", "score"} == set(found[0])
    assert accepted.id in {row["owner"] for row in found}
    assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)
    shown = cli("memory", "search", accepted.goal)
    assert accepted.id in shown.stdout and "[" in shown.stdout
    assert cli("memory", "search", "xylophone").stdout == "nothing found\n"
    refused = cli("memory", "search", "?!")
    assert (refused.exit_code, "no word" in one_sentence(refused.stderr)) == (2, True)
