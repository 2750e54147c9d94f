"""Controllers by name."""

from __future__ import annotations

import pytest

from selfsteer.agents.budget import Budget
from selfsteer.app.controllers import CONTROLLERS, Payer, build_controller
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


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_has_the_name_that_it_was_asked_for_by(
    talker: Student, payer: Payer, name: str
) -> None:
    assert build_controller(name, talker, None, payer).name == name


def test_search_takes_a_dataset_and_self_does_not(talker: Student, payer: Payer) -> None:
    dataset = ContrastiveDataset(concept="c", pairs=(PAIR,))
    assert build_controller("search", talker, dataset, payer).name == "search"
    with pytest.raises(ControllerError, match="makes its own data"):
        build_controller("self", talker, dataset, payer)


def test_an_unknown_name_lists_the_known_ones(talker: Student, payer: Payer) -> None:
    with pytest.raises(ControllerError, match="one of self, search"):
        build_controller("nobody", talker, None, payer)
