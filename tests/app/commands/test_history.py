"""`runs` and `report`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from tests.agents.doubles import settings
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence


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


@pytest.mark.parametrize("place", [".", "..", "a-folder", "/", "n" * 300])
def test_a_report_at_a_place_that_is_no_file_is_not_put_on_record(
    cli: Cli, accepted: Run, memory: Memory, tmp_path: Path, place: str
) -> None:
    (tmp_path / "a-folder").mkdir()
    before = memory.files.all()
    result = cli("report", accepted.id, "--out", place)
    assert (result.exit_code, "cannot be written to" in one_sentence(result.stderr)) == (2, True)
    assert memory.files.all() == before
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


def test_a_run_that_is_not_there(cli: Cli, accepted: Run) -> None:
    result = cli("report", "beef")
    assert result.exit_code == 2
    assert "holds no run beef" in result.stderr


def told_by_hand(
    memory: Memory, kept: dict[str, JsonValue], verdict: dict[str, JsonValue] | None
) -> str:
    run = memory.runs.start(
        "sound glad", student="s", fingerprint="f", controller="self", seed=0, settings=kept
    )
    if verdict is not None:
        memory.runs.store_verdict(run.id, verdict)
        memory.runs.finish(run.id, "accepted", seconds=1.0)
    return run.id


@pytest.mark.parametrize("kept", [{}, {"evolution": {}}, {"goal": {"text": "x"}, "more": 1}])
def test_a_run_with_settings_of_another_kind_has_no_page_and_is_not_resumed(
    cli: Cli, memory: Memory, kept: dict[str, JsonValue]
) -> None:
    run_id = told_by_hand(memory, kept, {"reason": "it does"})
    said = one_sentence(cli("report", run_id).stderr)
    assert f"The settings of run {run_id}" in said
    stopped = told_by_hand(memory, kept, None)
    said = one_sentence(cli("resume", stopped, "--student", "none").stderr)
    assert f"The settings of run {stopped}" in said


@pytest.mark.parametrize("more", [{}, {"layer": "x"}, {"edits": 3}])
def test_a_run_with_a_verdict_of_another_kind_has_no_page(
    cli: Cli, memory: Memory, more: dict[str, JsonValue]
) -> None:
    run_id = told_by_hand(memory, settings().model_dump(mode="json"), {"vector_id": "x", **more})
    assert f"The verdict of run {run_id}" in one_sentence(cli("report", run_id).stderr)


def test_a_verdict_without_figures_is_shown_without_them(cli: Cli, memory: Memory) -> None:
    verdict: dict[str, JsonValue] = {"reason": "it does", "steerability": "high"}
    run_id = told_by_hand(memory, settings().model_dump(mode="json"), verdict)
    assert cli("report", run_id).exit_code == 0
    assert run_id in cli("runs").stdout
