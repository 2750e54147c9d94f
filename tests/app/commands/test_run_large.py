"""`run` with a large model as the controller, through the real SDKs and a loopback server."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from selfsteer.agents.paid_batches import MANY
from selfsteer.app.commands import resume
from selfsteer.app.commands import run as module
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents import large_server
from tests.agents.doubles import EFFORT, GOAL
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.loopback import faults, messages
from tests.loopback.server import Answer, Asked, LoopbackServer

EASY = ("--steerability", 0.05, "--coherence", 10, "--broken", 1, "--retention", 0)
SCRIPTS = {"claude": large_server.anthropic, "openai": large_server.openai}


@pytest.fixture(autouse=True)
def _small(talker: Student, few_probes: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny student, little effort, and a key that is none."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key")
    for each in (module, resume):
        monkeypatch.setattr(each, "load_student", lambda *_: talker)
    asked = module._settings
    monkeypatch.setattr(
        module,
        "_settings",
        lambda *a, **k: asked(*a, **k).model_copy(update={"effort": EFFORT, "max_new_tokens": 16}),
    )


@pytest.fixture(params=SCRIPTS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[LoopbackServer, tuple[str, ...]]]:
    """A server, and the options that lead to it."""
    name = request.param
    with LoopbackServer(SCRIPTS[name]) as server:
        url = server.url if name == "claude" else f"{server.url}/v1"
        yield server, ("--controller", name, "--model", "some-model", "--base-url", url)


def test_a_goal_is_reached_by_a_large_model(
    cli: Cli, memory: Memory, served: tuple[LoopbackServer, tuple[str, ...]]
) -> None:
    server, where = served
    result = cli("run", GOAL, *where, *EASY, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["status"] == "accepted"
    entries = memory.ledger.entries(told["run"])
    assert len(entries) == len(server.asked)
    assert {entry.status for entry in entries} == {"parsed"}
    roles = {entry.role.partition("@")[0] for entry in entries}
    assert roles == {"propose", "choose", "judge", "reflect"}
    # The controller's rubric and questions are what candidates were judged by.
    judged = next(str(a.body) for a in server.asked if "You judge replies" in str(a.body))
    assert "Merry words count." in judged
    assert "What about number" in judged


def test_the_student_may_judge_what_a_large_model_proposed(
    cli: Cli, memory: Memory, served: tuple[LoopbackServer, tuple[str, ...]]
) -> None:
    server, where = served
    result = cli("run", GOAL, *where, "--role", "judge=search", *EASY, "--json")
    told = json.loads(result.stdout)
    assert told["status"] in ("accepted", "rejected"), result.stderr
    assert told["controller"].endswith(", judge=search")
    roles = {entry.role.partition("@")[0] for entry in memory.ledger.entries(told["run"])}
    assert "judge" not in roles
    assert len(server.asked) <= 12


def test_a_refusal_ends_the_run_with_its_reason(cli: Cli, memory: Memory) -> None:
    def refuse(asked: Asked) -> Answer:
        return messages.said("I would rather not.", stop_reason="refusal")

    with LoopbackServer(_plain(refuse)) as server:
        where = ("--controller", "claude", "--model", "some-model", "--base-url", server.url)
        result = cli("run", GOAL, *where, *EASY, "--json")
    assert result.exit_code == 1, result.stderr
    told = json.loads(result.stdout)
    assert told["status"] == "rejected"
    assert "refused to answer when asked to propose" in told["verdict"]["reason"]
    assert len(server.asked) == 1


def test_a_server_that_is_overloaded_stops_the_run_which_can_be_resumed(
    cli: Cli, memory: Memory
) -> None:
    with LoopbackServer(lambda asked: messages.error(529, "overloaded_error")) as server:
        where = ("--controller", "claude", "--model", "some-model", "--base-url", server.url)
        result = cli("run", GOAL, *where, *EASY)
    assert result.exit_code == 2
    assert "overloaded, so try again later." in result.stderr
    (run,) = memory.runs.all()
    assert run.status == "stopped"
    assert memory.ledger.paid(run.id).calls == 0
    with LoopbackServer(large_server.anthropic) as server:
        assert cli("resume", run.id, "--base-url", server.url).exit_code == 0


def test_a_server_that_is_too_slow_has_as_long_as_it_is_given(
    cli: Cli, memory: Memory, served: tuple[LoopbackServer, tuple[str, ...]]
) -> None:
    _, where = served
    with LoopbackServer(lambda asked: faults.slow(messages.said())) as slow:
        elsewhere = (*where[:-1], slow.url)
        result = cli("run", GOAL, *elsewhere, *EASY, "--timeout", 0.2)
    assert result.exit_code == 2
    assert "a longer time-out may mend" in one_sentence(result.stderr.splitlines()[-1])
    (run,) = memory.runs.all()
    assert (run.status, memory.ledger.paid(run.id).calls) == ("stopped", 1)
    again = cli("resume", run.id, *where[-2:], "--timeout", 30, "--on-ambiguous", "retry")
    assert again.exit_code == 0, again.stderr


def test_a_page_instead_of_a_reply_stops_the_run_until_it_is_told_to_ask_again(
    cli: Cli, memory: Memory
) -> None:
    """One of many judgements is lost; all the others are on record."""
    pages = [faults.WEB_PAGE]

    def script(asked: Asked) -> Answer:
        (system,) = asked.body["system"]
        judged = large_server.role_of(system["text"]) == "judge"
        return pages.pop() if judged and pages else large_server.anthropic(asked)

    with LoopbackServer(script) as server:
        where = ("--controller", "claude", "--model", "some-model", "--base-url", server.url)
        stopped = cli("run", GOAL, *where, *EASY)
        assert stopped.exit_code == 2
        told = one_sentence(stopped.stderr.splitlines()[-1])
        assert "a web page instead of a reply" in told and "--on-ambiguous retry" in told
        (run,) = memory.runs.all()
        assert run.status == "stopped"
        before = len(server.asked)
        assert cli("resume", run.id).exit_code == 2
        assert len(server.asked) == before
        resumed = cli("resume", run.id, "--on-ambiguous", "retry")
        assert resumed.exit_code == 0, resumed.stderr
    statuses = Counter(entry.status for entry in memory.ledger.entries(run.id))
    assert (statuses["committed"], statuses["parsed"]) == (1, len(server.asked) - 1)


class Batches(messages.BatchDesk):
    """Takes batches and answers them as the large model does; SIGTERM comes before the first has
    ended."""

    def __init__(self) -> None:
        super().__init__((), polls=1)
        self.handed_in = 0

    def __call__(self, asked: Asked) -> Answer:
        if "batches" not in asked.path:
            return large_server.anthropic(asked)
        if asked.method == "POST":
            self.handed_in += 1
            self._results = [_result(entry["params"]) for entry in asked.body["requests"]]
        elif self._polls:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__call__(asked)


def _result(request: Any) -> dict[str, Any]:
    (system,) = request["system"]
    answer = large_server.answer_to(system["text"], request["messages"][0]["content"])
    return {"type": "succeeded", "message": messages.message(json.dumps(answer))}


def test_sigterm_ends_the_wait_for_a_batch_which_is_fetched_later(
    cli: Cli, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = {"input": 1, "output": 5, "cache_read": 1, "cache_write": 1, "batch": 0.5}
    monkeypatch.setenv("SELFSTEER_PRICES", json.dumps({"some-model": prices}))
    desk = Batches()
    with LoopbackServer(desk) as server:
        where = ("--controller", "claude", "--model", "some-model", "--base-url", server.url)
        stopped = cli("run", GOAL, *where, *EASY, "--batch")
        assert stopped.exit_code == 143, stopped.stderr
        (run,) = memory.runs.all()
        assert (run.status, desk.handed_in) == ("stopped", 1)
        assert f"selfsteer resume {run.id}" in stopped.stderr
        resumed = cli("resume", run.id, "--json")
    assert resumed.exit_code == 0, resumed.stderr
    entries = memory.ledger.entries(run.id)
    assert {entry.status for entry in entries} == {"parsed"}
    batched = sum(entry.batch is not None for entry in entries)
    assert batched >= MANY * desk.handed_in
    # Each reply of the tests has 19 tokens that are read and 7 that are written.
    each = (19 * 1 + 7 * 5) / 1e6
    paid = json.loads(resumed.stdout)["paid"]
    assert paid["cost"] == pytest.approx(each * (len(entries) - batched / 2))
    assert (paid["calls"], paid["exact"]) == (len(entries), True)


def _plain(script: Any) -> Any:
    """The script's message, streamed where that is asked for."""

    def answer(asked: Asked) -> Answer:
        whole: Answer = script(asked)
        if not asked.body.get("stream"):
            return whole
        told = json.loads(whole.body)
        text = told["content"][0]["text"]
        return messages.streamed(messages.events(text, stop_reason=told["stop_reason"]))

    return answer
