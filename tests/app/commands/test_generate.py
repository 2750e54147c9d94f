"""`generate`: plain, and steered by a vector from memory or a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from selfsteer.agents.loop import run_goal
from selfsteer.agents.nodes import extract
from selfsteer.agents.sites import SITES
from selfsteer.agents.types import SearchSpace
from selfsteer.app.commands import generate as module
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.generate import Generation, generate
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from tests.agents.doubles import Scripted, settings
from tests.app.conftest import Cli
from tests.steering.students import build_vector


@pytest.fixture(autouse=True)
def _at_hand(talker: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_student", lambda *_: talker)


def test_a_plain_reply(cli: Cli, talker: Student) -> None:
    told = json.loads(cli("generate", "hello", "--system", "be", "--seed", 5, "--json").stdout)
    (reply,) = generate(
        talker, [Prompt.chat("hello", system="be")], max_new_tokens=96, temperature=0.8, seed=5
    )
    assert told["reply"] == reply.text
    assert told["plan"] is None
    assert cli("generate", "hello", "--system", "be", "--seed", 5).stdout == f"{reply.text}\n"


def test_a_reply_is_printed_as_the_student_wrote_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = "meet at :house: [bold]now[/]\x1b"
    replies = [Generation(ids=[1], text=wrote, finished=True)]
    monkeypatch.setattr("selfsteer.steering.generate.generate", lambda *_, **__: replies)
    assert cli("generate", "hello").stdout == "meet at :house: [bold]now[/]\ufffd\n"


def edit_of(cli: Cli, *words: object) -> dict[str, Any]:
    """The one edit of the plan that these options make."""
    (edit,) = json.loads(cli("generate", "hello", *words, "--json").stdout)["plan"]["edits"]
    return edit  # type: ignore[no-any-return]


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A site, the only one that runs search."""
    name = str(request.param)
    monkeypatch.setattr(extract, "sites_of", lambda dataset: (name,))
    choose = Scripted.choose

    def here(self: Scripted, *words: Any) -> SearchSpace:
        return choose(self, *words).model_copy(update={"sites": (name,)})

    monkeypatch.setattr(Scripted, "choose", here)
    return name


def test_an_accepted_vector_steers_as_it_was_accepted(
    cli: Cli, site: str, memory: Memory, talker: Student, few_probes: object
) -> None:
    verdict = run_goal(talker, Scripted(), memory, settings()).verdict or {}
    edit = edit_of(cli, "--vector", verdict["vector_id"])
    assert edit["layers"] == [verdict["layer"]]
    assert (edit["strength"], edit["operator"]) == (verdict["strength"], verdict["operator"])
    assert edit["selector"] == SITES[site].steer
    (remembered,) = memory.remembered()
    assert remembered.plan["edits"] == [edit]
    # The vector's own tokens are steered as well where only the place and the dose are given.
    given = edit_of(cli, "--vector", verdict["vector_id"], "--layer", 1, "--strength", 0.5)
    assert given == {**edit, "layers": [1], "strength": 0.5}


def test_options_go_before_what_was_accepted(cli: Cli, accepted: Run) -> None:
    words = ("--layer", 1, "--strength", 0.5, "--operator", "ablate", "--selector", "response")
    edit = edit_of(cli, "--vector", (accepted.verdict or {})["vector_id"], *words)
    assert (edit["layers"], edit["strength"]) == ([1], 0.5)
    assert (edit["operator"], edit["selector"]) == ("ablate", "response")


@pytest.mark.parametrize(("read", "steer"), [("last", "last"), ("response", "all"), ("all", "all")])
def test_a_vector_that_was_never_accepted_acts_as_suits_what_it_was_read_from(
    cli: Cli, talker: Student, read: str, steer: str
) -> None:
    replace(build_vector(talker), selector=read).save("v")
    assert edit_of(cli, "--vector", "v", "--layer", 0, "--strength", 1)["selector"] == steer


def test_a_file_tells_no_strength(cli: Cli, accepted: Run) -> None:
    cli("vector", "export", (accepted.verdict or {})["vector_id"], "v")
    result = cli("generate", "hello", "--vector", "v")
    assert result.exit_code == 2
    assert "--layer and --strength are needed" in result.stderr


def test_steering_that_changes_nothing_warns(cli: Cli, accepted: Run) -> None:
    name = (accepted.verdict or {})["vector_id"]
    result = cli("generate", "hello", "--vector", name, "--strength", 0)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: The plan with vector")
