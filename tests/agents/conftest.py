"""The tiny student, a memory in a temporary folder, and few probes, for runs of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfsteer.agents import loop
from selfsteer.agents.models import waits
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import build_talker, deal_few


@pytest.fixture(scope="session")
def talker() -> Student:
    return build_talker()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory.open(tmp_path / "memory.db") as opened:
        yield opened


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be waited before calls were asked again; nobody waits for them."""
    seconds: list[float] = []
    monkeypatch.setattr(waits, "sleep", seconds.append)
    return seconds


@pytest.fixture
def few_probes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], object]:
    monkeypatch.setattr(loop, "deal_probes", deal_few)
    return deal_few
