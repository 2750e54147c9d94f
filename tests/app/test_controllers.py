"""Controllers by name."""

from __future__ import annotations

import pytest

from selfsteer.app.controllers import CONTROLLERS, build_controller
from selfsteer.errors import ControllerError
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt

PAIR = ContrastivePair(
    positive=Example(prompt=Prompt.chat("q"), completion="a"),
    negative=Example(prompt=Prompt.chat("q"), completion="b"),
)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_has_the_name_that_it_was_asked_for_by(talker: Student, name: str) -> None:
    assert build_controller(name, talker).name == name


def test_search_takes_a_dataset_and_self_does_not(talker: Student) -> None:
    dataset = ContrastiveDataset(concept="c", pairs=(PAIR,))
    assert build_controller("search", talker, dataset).name == "search"
    with pytest.raises(ControllerError, match="makes its own data"):
        build_controller("self", talker, dataset)


def test_an_unknown_name_lists_the_known_ones(talker: Student) -> None:
    with pytest.raises(ControllerError, match="one of self, search"):
        build_controller("nobody", talker)
