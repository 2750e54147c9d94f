"""The command line in a folder of its own, and runs of a tiny student to look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner, Result

from selfsteer.agents import loop
from selfsteer.agents.loop import run_goal
from selfsteer.agents.models.allow import VARIABLE
from selfsteer.agents.types import Decision
from selfsteer.app.cli import app
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student
from tests.agents.doubles import IMPOSSIBLE, Scripted, build_talker, deal_few, settings
from tests.app.doubles import HOSTILE_GOAL

ITEMS = [CapabilityItem(question="a", answers=("a",)), CapabilityItem(question="b", answers=("b",))]


class Cli(Protocol):
    """Runs a command."""

    def __call__(self, *words: object) -> Result: ...


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`selfsteer` in an empty folder, without settings from the environment."""
    for name in [name for name in os.environ if name.startswith("SELFSTEER_")]:
        if name != VARIABLE:  # no test may ask a real service
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return invoke


@pytest.fixture(scope="session")
def talker() -> Student:
    return build_talker()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """The memory that `cli` finds where no other is named."""
    with Memory.open(tmp_path / "selfsteer.db") as opened:
        yield opened


@pytest.fixture
def few_probes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], object]:
    monkeypatch.setattr(loop, "deal_probes", deal_few)
    return deal_few


@pytest.fixture
def accepted(memory: Memory, talker: Student, few_probes: object) -> Run:
    """A run that met its goal."""
    return run_goal(talker, Scripted(), memory, settings())


@pytest.fixture
def recalled(accepted: Run, memory: Memory, talker: Student) -> Run:
    """A run that met its goal from memory."""
    return run_goal(talker, Scripted(), memory, settings())


@pytest.fixture
def hostile(memory: Memory, talker: Student, few_probes: object) -> Run:
    """A rejected run whose goal and reasons are HTML, terminal codes and rich's markup."""

    def give_up(history: object) -> Decision:
        return Decision(action="give_up", reason=HOSTILE_GOAL)

    wanted = settings(goal=HOSTILE_GOAL, thresholds=IMPOSSIBLE)
    return run_goal(talker, Scripted(give_up), memory, wanted, capability=ITEMS)
