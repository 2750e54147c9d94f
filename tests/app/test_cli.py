"""The command line as a whole: quick to answer, and well behaved when it is stopped."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from selfsteer.app import cli as module
from selfsteer.app.commands import history
from tests.app.conftest import Cli


def test_help_does_without_the_heavy_libraries() -> None:
    code = (
        "import sys\n"
        "from selfsteer.app.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'langgraph', 'matplotlib', 'sqlite_utils'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "run",
        "resume",
        "runs",
        "report",
        "vectors",
        "vector show",
        "vector compose",
        "vector tree",
        "vector explain",
        "generate",
        "chat",
        "doctor",
    ],
)
def test_every_command_offers_json(cli: Cli, command: str) -> None:
    result = cli(*command.split(), "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("selfsteer ")


def test_ctrl_c_exits_with_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "open_memory", stop)
    result = cli("runs")
    assert result.exit_code == module.STOPPED == 130
    assert result.stderr == "stopped\n"


def test_warnings_are_one_line_on_stderr(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object, **__: object) -> None:
        warnings.warn("mind the [gap]", stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "open_memory", warn)
    assert cli("runs").stderr == "warning: mind the [gap]\nstopped\n"
