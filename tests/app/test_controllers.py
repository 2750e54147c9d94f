"""Controllers by name."""

from __future__ import annotations

import contextlib
import math

import pytest

from selfsteer.agents.budget import Budget, OutOfBudget
from selfsteer.agents.models import anthropic_model, openai_model, outcomes
from selfsteer.agents.models.errors import CallAmbiguous
from selfsteer.agents.paid_calls import CallInDoubt
from selfsteer.app.controllers import CONTROLLERS, Deciders, Payer, build_controller
from selfsteer.app.settings import AppSettings
from selfsteer.errors import ControllerError, SelfsteerError
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.agents.paid_doubles import FakeModel, price, question

PAIR = ContrastivePair(
    positive=Example(prompt=Prompt.chat("q"), completion="a"),
    negative=Example(prompt=Prompt.chat("q"), completion="b"),
)


@pytest.fixture
def payer(memory: Memory) -> Payer:
    return Payer(memory, "0a1b2c3d", Budget(), "ask")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key")


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_has_the_name_that_it_was_asked_for_by(
    talker: Student, payer: Payer, name: str
) -> None:
    who = Deciders(controller=name, model="some-model", base_url="http://127.0.0.1:9")
    assert build_controller(who, talker, None, payer).name == name


def test_only_search_takes_a_dataset(talker: Student, payer: Payer) -> None:
    dataset = ContrastiveDataset(concept="c", pairs=(PAIR,))
    assert build_controller(Deciders(controller="search"), talker, dataset, payer).name == "search"
    for name in set(CONTROLLERS) - {"search"}:
        who = Deciders(controller=name, model="some-model")
        with pytest.raises(ControllerError, match=f"{name} makes its own data"):
            build_controller(who, talker, dataset, payer)


@pytest.mark.parametrize("name", ["claude", "openai"])
def test_a_large_model_needs_a_name(talker: Student, payer: Payer, name: str) -> None:
    with pytest.raises(ControllerError, match=f"{name} needs the name of a model: give --model"):
        build_controller(Deciders(controller=name), talker, None, payer)


def test_roles_go_to_other_controllers(talker: Student, payer: Payer) -> None:
    who = Deciders(
        controller="claude", model="some-model", roles={"judge": "self", "choose": "search"}
    )
    split = build_controller(who, talker, None, payer)
    assert split.name == "claude, choose=search, judge=self"
    assert split.model == "anthropic/some-model"


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (Deciders(controller="nobody"), "'nobody'; it is one of self, search, claude, openai"),
        (Deciders(roles={"judge": "nobody"}), "Unknown controller 'nobody'"),
        (Deciders(timeout=0), "--timeout must be seconds above 0, not 0"),
        (Deciders(timeout=math.nan), "--timeout must be seconds above 0, not nan"),
        (Deciders(roles={"cook": "self"}), "'cook'; it is one of propose, choose, judge, reflect"),
    ],
)
def test_what_cannot_be_says_what_can(
    talker: Student, payer: Payer, who: Deciders, told: str
) -> None:
    with pytest.raises(ControllerError, match=told):
        build_controller(who, talker, None, payer)


@pytest.mark.parametrize("name", ["claude", "openai"])
def test_the_time_out_reaches_the_client(
    talker: Student, payer: Payer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    class Watched(outcomes.NotingClient):
        def __init__(self, timeout: float) -> None:
            given.append(timeout)
            super().__init__(timeout)

    for module in (anthropic_model, openai_model):
        monkeypatch.setattr(module, "NotingClient", Watched)
    who = Deciders(controller=name, model="m", base_url="http://127.0.0.1:9", timeout=7.5)
    build_controller(who, talker, None, payer)
    assert given == [7.5]


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf"])
def test_a_time_out_of_the_environment_that_cannot_be_is_said_in_one_sentence(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFSTEER_TIMEOUT", value)
    with pytest.raises(SelfsteerError, match=r"^SELFSTEER_TIMEOUT cannot be used: .*\.$"):
        AppSettings()


def test_the_environment_gives_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFSTEER_TIMEOUT", raising=False)
    assert AppSettings().timeout == 120
    monkeypatch.setenv("SELFSTEER_TIMEOUT", "7.5")
    assert AppSettings().timeout == 7.5


def test_the_minutes_of_a_resumed_run_go_on_from_where_it_stopped(memory: Memory) -> None:
    run = memory.runs.start(
        "goal", student="s", fingerprint="f", controller="paid", seed=0, settings={}
    )
    memory.runs.finish(run.id, "stopped", seconds=360)
    for minutes, limited in ((5, True), (7, False)):
        paid = Payer(memory, run.id, Budget(minutes=minutes), "ask").calls(FakeModel(), price)
        with pytest.raises(OutOfBudget) if limited else contextlib.nullcontext():
            paid.ask("judge", "judge", question())


def test_what_is_told_of_a_call_in_doubt_names_the_memory_in_use(memory: Memory) -> None:
    run = memory.runs.start(
        "goal", student="s", fingerprint="f", controller="paid", seed=0, settings={}
    )
    paid = Payer(memory, run.id, Budget(), "ask").calls(FakeModel(CallAmbiguous("Cut.")), price)
    with pytest.raises(
        CallInDoubt, match=f"`selfsteer resume {run.id} --db {memory.path} --on-ambiguous retry`"
    ):
        paid.ask("judge", "judge", question())
