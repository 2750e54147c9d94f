"""`runs` and `report`."""

from __future__ import annotations

import json
from pathlib import Path

from selfsteer.memory.records import Run
from tests.app.conftest import Cli


def test_runs_newest_first(cli: Cli, accepted: Run, recalled: Run) -> None:
    rows = json.loads(cli("runs", "--json").stdout)["runs"]
    assert [row["run"] for row in rows] == [recalled.id, accepted.id]
    assert rows[0]["recalled"] == accepted.id
    assert rows[0]["steerability"] == (recalled.verdict or {})["steerability"]


def test_the_table_shows_goals_as_they_are(cli: Cli, hostile: Run) -> None:
    shown = cli("runs").stdout
    assert "[bold red]b[/]" in shown
    assert "\x1b" not in shown
    assert hostile.id in shown


def test_report_writes_a_page(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    told = json.loads(cli("report", accepted.id, "--out", "r.html", "--json").stdout)
    page = tmp_path / "r.html"
    assert told == {"run": accepted.id, "path": "r.html", "bytes": page.stat().st_size}
    assert cli("report", accepted.id).stdout == f"selfsteer-report-{accepted.id}.html\n"


def test_a_report_that_cannot_be_written(cli: Cli, accepted: Run, tmp_path: Path) -> None:
    result = cli("report", accepted.id, "--out", "none/r.html")
    assert result.exit_code == 2
    assert "cannot be written to none/r.html" in result.stderr
    assert sorted(p.suffix for p in tmp_path.iterdir() if "html" in p.name) == []


def test_a_run_that_is_not_there(cli: Cli, accepted: Run) -> None:
    result = cli("report", "beef")
    assert result.exit_code == 2
    assert "holds no run beef" in result.stderr
