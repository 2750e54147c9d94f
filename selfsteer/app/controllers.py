"""Controllers by name. A new one is a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfsteer.errors import ControllerError

if TYPE_CHECKING:
    from selfsteer.agents.budget import Budget
    from selfsteer.agents.controller import Controller
    from selfsteer.agents.models.chat_model import ChatModel
    from selfsteer.agents.paid_calls import OnAmbiguous, PaidCalls, Price
    from selfsteer.memory.store import Memory
    from selfsteer.steering.datasets import ContrastiveDataset
    from selfsteer.steering.model import Student


@dataclass(frozen=True)
class Payer:
    """The run on whose account a controller asks a paid model.

    Attributes:
        memory: whose ledger keeps the account.
        run_id: the run.
        budget: what it may spend.
        on_ambiguous: what becomes of a call of which nobody knows whether it was paid.
    """

    memory: Memory
    run_id: str
    budget: Budget
    on_ambiguous: OnAmbiguous

    def calls(self, model: ChatModel, price: Price) -> PaidCalls:
        """The paid calls of one model.

        Raises:
            BudgetError: a budget of money for a model whose price is not known.
        """
        from selfsteer.agents.paid_calls import PaidCalls

        return PaidCalls(
            self.memory.ledger, self.run_id, self.budget, model, price, self.on_ambiguous
        )


Builder = Callable[["Student", "ContrastiveDataset | None", Payer], "Controller"]


def _self(student: Student, dataset: ContrastiveDataset | None, payer: Payer) -> Controller:
    from selfsteer.agents.self_controller import SelfController

    if dataset is not None:
        raise ControllerError(
            "The controller self makes its own data; give --dataset to the controller search."
        )
    return SelfController(student)


def _search(student: Student, dataset: ContrastiveDataset | None, payer: Payer) -> Controller:
    from selfsteer.agents.search import SearchController

    return SearchController(student, dataset)


CONTROLLERS: dict[str, Builder] = {"self": _self, "search": _search}


def build_controller(
    name: str, student: Student, dataset: ContrastiveDataset | None, payer: Payer
) -> Controller:
    """The controller of that name for a student.

    Args:
        dataset: pairs that the person gave.
        payer: the run that it decides; controllers that pay for nothing leave it alone.

    Raises:
        ControllerError: an unknown name, or a dataset for a controller that takes none.
    """
    check_controller(name)
    return CONTROLLERS[name](student, dataset, payer)


def check_controller(name: str) -> None:
    """Refuse an unknown name before anything is loaded.

    Raises:
        ControllerError: there is no such controller.
    """
    if name not in CONTROLLERS:
        raise ControllerError(
            f"Unknown controller {name!r}; it is one of {', '.join(CONTROLLERS)}."
        )
