"""Roles split among controllers."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from selfsteer.agents.controller import Controller
from selfsteer.agents.split_controller import ROLES, ControllerRole, SplitController
from selfsteer.agents.types import Goal

GOAL = Goal(text="be merry")
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "propose": (GOAL, ()),
    "choose": (GOAL, (), ()),
    "judge": (GOAL, ()),
    "reflect": (GOAL, ()),
    "learn": (GOAL, None),
    "confirms_pairs": (),
}


def named(name: str) -> Mock:
    controller = Mock(spec=Controller)
    controller.name, controller.model = name, f"{name}-1" if name == "main" else None
    return controller


@pytest.mark.parametrize("role", ROLES)
def test_each_role_goes_to_its_controller(role: ControllerRole) -> None:
    main, other = named("main"), named("other")
    split = SplitController(main, {role: other})
    # The judge is the one who learns and confirms.
    belongs = {role, "learn", "confirms_pairs"} if role == "judge" else {role}
    for name, arguments in ARGUMENTS.items():
        found = getattr(split, name)(*arguments)
        asked = getattr(other if name in belongs else main, name)
        asked.assert_called_once_with(*arguments)
        if name != "learn":
            assert found is asked.return_value
    assert {call[0] for call in other.method_calls} == belongs
    assert split.name == f"main, {role}=other"
    assert split.model == "main-1"


def test_without_other_roles_it_is_the_main_one() -> None:
    assert SplitController(named("main"), {}).name == "main"
