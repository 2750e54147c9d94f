"""`kill -9` anywhere, then resume: the same end, and nothing that is on record is paid again."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents import approval
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from tests.agents.doubles import record
from tests.agents.kill_host import IN_DOUBT
from tests.agents.paid_scripted import Batches, answer
from tests.loopback.server import LoopbackServer

ROOT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL
RUN = "0a1b2c3d"
KEY = {"ANTHROPIC_API_KEY": "key-of-the-tests", "NO_PROXY": "*"}
NODES = (
    "recall",
    "propose",
    "collect",
    "extract",
    "plan_search",
    "evaluate",
    "judge",
    "reflect",
    "confirm",
    "remember",
    "report",
)
# Name of the step, whether after it, and how often a call is sent that was struck there.
STEPS = {
    "before-begin": ("begin", False, 1),
    "between-begin-and-send": ("send", False, 1),
    "between-answer-and-commit": ("send", True, 2),
    "after-commit": ("commit", True, 1),
    "after-charge": ("charge", True, 1),
    "after-parsed": ("parsed", True, 1),
}


class Host:
    """The process that forks runs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.agents.kill_host"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **KEY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        self._process.communicate()

    def live(self, **order: Any) -> int:
        """The exit status of a run that is begun or resumed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    started = Host()
    yield started
    started.close()


class Place:
    """A memory and a paid server for one run."""

    def __init__(self, host: Host, server: LoopbackServer, db: Path) -> None:
        self._host, self._server, self.db = host, server, db

    def live(
        self,
        kill: dict[str, Any] | None = None,
        *,
        on_ambiguous: str = "retry",
        run: str = RUN,
        budget: Mapping[str, int] | None = None,
        approve: Sequence[str] = (),
        who: str = "whole",
    ) -> int:
        return self._host.live(
            db=str(self.db),
            run=run,
            url=self._server.url,
            kill=kill,
            on_ambiguous=on_ambiguous,
            budget=budget or {},
            approve=approve,
            who=who,
        )

    def sent(self) -> Counter[str]:
        """How often each request arrived."""
        return Counter(json.dumps(asked.body, sort_keys=True) for asked in self._server.asked)

    def kept_places(self) -> set[str]:
        """The runs that have checkpoints."""
        with sqlite3.connect(self.db.with_name("memory.db.checkpoints")) as connection:
            return {row[0] for row in connection.execute("SELECT thread_id FROM checkpoints")}

    def left_behind(self) -> tuple[Run, dict[str, list[Any]], int]:
        with Memory.open(self.db) as memory:
            remembered = len(memory.remembered())
            return memory.runs.get(RUN), record(memory, RUN), remembered


@pytest.fixture
def place(host: Host, tmp_path: Path) -> Iterator[Place]:
    with LoopbackServer(answer) as server:
        yield Place(host, server, tmp_path / "memory.db")


# The same of a batch: whether the killed process leaves a batch in doubt.
BATCH_STEPS = {
    "before-begin": ("begin_together", False, False),
    "between-begin-and-hand-in": ("start_batch", False, True),
    "between-hand-in-and-its-name": ("start_batch", True, False),
    "with-its-name": ("batched", True, False),
    "between-fetch-and-commit": ("finish_batch", True, False),
    "after-the-first-commit": ("commit", True, False),
    "after-the-first-charge": ("charge", True, False),
    "after-the-first-parsed": ("parsed", True, False),
}


@pytest.fixture(scope="module")
def undisturbed(host: Host, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Counter[str]]:
    """What a run leaves behind that nobody kills, and what it asks."""
    with LoopbackServer(answer) as server:
        place = Place(host, server, tmp_path_factory.mktemp("undisturbed") / "memory.db")
        assert place.live() == 0
        return place.left_behind(), place.sent()


@pytest.fixture(scope="module")
def undisturbed_batches(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a run with batches leaves behind that nobody kills."""
    with LoopbackServer(Batches()) as server:
        place = Place(host, server, tmp_path_factory.mktemp("undisturbed") / "memory.db")
        assert place.live(who="batches") == 0
        return place.left_behind()


def assert_same_end(place: Place, undisturbed: tuple[Any, Counter[str]]) -> None:
    (run, found, remembered), (expected_run, expected, _) = place.left_behind(), undisturbed[0]
    assert run.status == expected_run.status == "accepted"
    assert run.verdict == expected_run.verdict
    assert found == expected
    assert remembered == 1
    assert place.sent().keys() == undisturbed[1].keys()
    with Memory.open(place.db) as memory:
        entries = memory.ledger.entries(RUN)
    assert {entry.status for entry in entries} <= {"sent", "parsed"}
    assert sum(entry.status == "parsed" for entry in entries) == len(undisturbed[1])


def test_kills_in_every_node(place: Place, undisturbed: tuple[Any, Counter[str]]) -> None:
    """At its top, and again behind all that it writes: 22 kills of one run."""
    for name in NODES:
        for late in (False, True):
            assert place.live({"at": "node", "name": name, "late": late}) == KILLED, name
    assert place.live() == 0
    assert_same_end(place, undisturbed)
    assert set(place.sent().values()) == {1}


def test_kills_where_the_budget_runs_out(
    place: Place, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limit = {"candidates": 5}
    for late in (False, True):
        kill = {"at": "node", "name": "run_out", "late": late}
        assert place.live(kill, budget=limit) == KILLED
    assert place.live(budget=limit) == 0
    run, found, _ = place.left_behind()
    assert "budget of 5 candidates" in str((run.verdict or {})["reason"])
    with LoopbackServer(answer) as server:
        other = Place(host, server, tmp_path_factory.mktemp("undisturbed") / "memory.db")
        assert other.live(budget=limit) == 0
    expected, unkilled, _ = other.left_behind()
    assert (run.verdict, found) == (expected.verdict, unkilled)


@pytest.mark.parametrize("what", ["data", "plan"])
def test_kills_where_a_person_is_asked(
    place: Place, undisturbed: tuple[Any, Counter[str]], what: str
) -> None:
    """Before the question, with the question put, and with the answer taken."""
    node = {"at": "node", "name": f"approve_{what}"}
    assert place.live({**node, "late": False}, approve=[what]) == KILLED
    waits = {"at": "end", "name": "finish", "late": False}
    assert place.live(waits, approve=[what]) == KILLED
    assert place.left_behind()[0].status == "running"
    assert place.live(approve=[what]) == 0
    with Memory.open(place.db) as memory:
        approval.accept(memory, RUN)
    assert place.live({**node, "late": True}, approve=[what]) == KILLED
    assert place.live(approve=[what]) == 0
    run, found, _ = place.left_behind()
    assert run.verdict == undisturbed[0][0].verdict
    assert found["candidates"] == undisturbed[0][1]["candidates"]
    assert set(place.sent().values()) == {1}


@pytest.mark.parametrize("step", STEPS)
def test_kills_at_a_step_of_every_paid_call(
    place: Place, undisturbed: tuple[Any, Counter[str]], step: str
) -> None:
    name, late, times = STEPS[step]
    calls = len(undisturbed[1])
    assert calls >= 8
    for number in range(calls):
        kill = {"at": "call", "name": name, "late": late, "number": number}
        assert place.live(kill) == KILLED, number
    assert place.live() == 0
    assert_same_end(place, undisturbed)
    assert set(place.sent().values()) == {times}
    with Memory.open(place.db) as memory:
        doubtful = sum(entry.status == "sent" for entry in memory.ledger.entries(RUN))
        assert memory.ledger.paid(RUN).calls == calls + doubtful
    assert doubtful == (calls if name == "send" else 0)


@pytest.mark.parametrize("late", [False, True])
def test_kills_at_the_very_end(
    place: Place, undisturbed: tuple[Any, Counter[str]], late: bool
) -> None:
    assert place.live({"at": "end", "name": "finish", "late": late}) == KILLED
    if not late:
        assert place.live() == 0
    assert_same_end(place, undisturbed)
    assert set(place.sent().values()) == {1}
    # What was killed before it cleared up is cleared up by the next run.
    assert place.kept_places() == ({RUN} if late else set())
    assert place.live(run="another1") == 0
    assert place.kept_places() == set()


def test_a_call_in_doubt_waits_to_be_told(
    place: Place, undisturbed: tuple[Any, Counter[str]]
) -> None:
    kill = {"at": "call", "name": "send", "late": True, "number": 3}
    assert place.live(kill) == KILLED
    before = place.sent().total()
    for _ in range(2):
        assert place.live(on_ambiguous="ask") == IN_DOUBT
        assert place.left_behind()[0].status == "stopped"
    assert place.sent().total() == before
    assert place.live() == 0
    assert_same_end(place, undisturbed)
    assert place.sent().total() == undisturbed[1].total() + 1


def test_kills_at_every_part_of_a_goal_that_was_split(
    place: Place, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In the nodes that each part goes through, for the first part and for the second."""
    nodes = [(name, late) for name in ("propose", "collect", "next_part") for late in (False, True)]
    for number, (name, late) in enumerate(2 * nodes):
        # The first process has the round before the split to itself; each goes on from the last.
        kill = {"at": "node", "name": name, "late": late, "spared": int(number == 0)}
        assert place.live(kill, who="parts") == KILLED, (number, name)
    assert place.live(who="parts") == 0
    with LoopbackServer(answer) as server:
        other = Place(host, server, tmp_path_factory.mktemp("undisturbed") / "memory.db")
        assert other.live(who="parts") == 0
        asked = other.sent()
    (run, found, _), (expected, unkilled, _) = place.left_behind(), other.left_behind()
    assert run.verdict is not None and run.verdict["further"]
    assert (run.status, run.verdict, found) == (expected.status, expected.verdict, unkilled)
    assert place.sent() == asked and set(asked.values()) == {1}


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_kills_at_a_step_of_a_batch(
    host: Host, tmp_path: Path, undisturbed_batches: Any, step: str
) -> None:
    """Three in a row; a batch that was handed in is fetched, and nothing is paid twice."""
    name, late, doubtful = BATCH_STEPS[step]
    desk = Batches()
    with LoopbackServer(desk) as server:
        place = Place(host, server, tmp_path / "memory.db")
        for _ in range(3):
            kill = {"at": "batch", "name": name, "late": late}
            assert place.live(kill, who="batches") == KILLED
        assert place.live(who="batches", on_ambiguous="ask") == (IN_DOUBT if doubtful else 0)
        if doubtful:
            assert place.live(who="batches") == 0
        (run, found, _), (expected, unkilled, _) = place.left_behind(), undisturbed_batches
        assert (run.status, run.verdict, found) == (expected.status, expected.verdict, unkilled)
        alone = [asked.body for asked in server.asked if asked.path == "/v1/messages"]
    together = [one["params"] for requests in desk.taken.values() for one in requests]
    sent = Counter(json.dumps(one, sort_keys=True) for one in [*alone, *together])
    with Memory.open(place.db) as memory:
        assert doubtful == any(entry.status == "sent" for entry in memory.ledger.entries(RUN))
    assert set(sent.values()) == {1}
