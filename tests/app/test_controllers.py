"""Controllers by name."""

from __future__ import annotations

import pytest

from selfsteer.agents.budget import Budget
from selfsteer.app.controllers import CONTROLLERS, Deciders, Payer, build_controller
from selfsteer.errors import ControllerError
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt

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
        (Deciders(roles={"cook": "self"}), "'cook'; it is one of propose, choose, judge, reflect"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(
    talker: Student, payer: Payer, who: Deciders, told: str
) -> None:
    with pytest.raises(ControllerError, match=told):
        build_controller(who, talker, None, payer)
