"""`doctor`: what it finds in order, and what not."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from selfsteer.app.commands import doctor as module
from selfsteer.memory.records import Run
from selfsteer.steering.model import Student
from tests.app.conftest import Cli


@pytest.fixture(autouse=True)
def _bundled(talker: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_student", lambda *_: talker)


def checks(cli: Cli) -> dict[str, dict[str, object]]:
    told = json.loads(cli("doctor", "--json").stdout)
    assert told["ok"] == all(check["ok"] for check in told["checks"])
    return {check["name"]: check for check in told["checks"]}


def test_a_fresh_folder_is_in_order(cli: Cli) -> None:
    result = cli("doctor")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("ok ") for line in lines)


def test_a_memory_in_use_is_described(cli: Cli, accepted: Run) -> None:
    found = checks(cli)
    assert "schema" in str(found["memory"]["detail"])
    assert "1 runs, 2 vectors" in str(found["memory"]["detail"])
    assert "0 runs that can be resumed" in str(found["checkpoints"]["detail"])


def test_problems_are_named_and_the_rest_is_checked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "selfsteer.db").write_bytes(b"no database" * 500)
    (tmp_path / "selfsteer.db.checkpoints").write_bytes(b"no database" * 500)
    result = cli("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.startswith("problem ") for line in lines] == [False] * 5 + [True] * 2 + [False]


def test_a_damaged_page_is_found(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    path = tmp_path / "selfsteer.db"
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    data = bytearray(copy.read_bytes())
    data[8192:8292] = b"\xff" * 100
    copy.write_bytes(data)
    result = cli("doctor", "--db", copy)
    assert result.exit_code == 1
    assert "problem  memory: The memory" in result.stdout


def test_a_missing_folder(cli: Cli) -> None:
    result = cli("doctor", "--db", "none/x.db")
    assert result.exit_code == 1
    assert "The folder none for the memory does not exist" in result.stdout


def test_a_full_disk(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    found = checks(cli)
    assert not found["disk"]["ok"]
    assert "0 MB are free" in str(found["disk"]["detail"])
