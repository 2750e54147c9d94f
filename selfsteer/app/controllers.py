"""Controllers by name. A new one is a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from selfsteer.errors import ControllerError

if TYPE_CHECKING:
    from selfsteer.agents.controller import Controller
    from selfsteer.steering.datasets import ContrastiveDataset
    from selfsteer.steering.model import Student

Builder = Callable[["Student", "ContrastiveDataset | None"], "Controller"]


def _self(student: Student, dataset: ContrastiveDataset | None) -> Controller:
    from selfsteer.agents.self_controller import SelfController

    if dataset is not None:
        raise ControllerError(
            "The controller self makes its own data; give --dataset to the controller search."
        )
    return SelfController(student)


def _search(student: Student, dataset: ContrastiveDataset | None) -> Controller:
    from selfsteer.agents.search import SearchController

    return SearchController(student, dataset)


CONTROLLERS: dict[str, Builder] = {"self": _self, "search": _search}


def build_controller(
    name: str, student: Student, dataset: ContrastiveDataset | None = None
) -> Controller:
    """The controller of that name for a student.

    Args:
        dataset: pairs that the person gave.

    Raises:
        ControllerError: an unknown name, or a dataset for a controller that takes none.
    """
    check_controller(name)
    return CONTROLLERS[name](student, dataset)


def check_controller(name: str) -> None:
    """Refuse an unknown name before anything is loaded.

    Raises:
        ControllerError: there is no such controller.
    """
    if name not in CONTROLLERS:
        raise ControllerError(
            f"Unknown controller {name!r}; it is one of {', '.join(CONTROLLERS)}."
        )
