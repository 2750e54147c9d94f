"""Controllers by name. A new one is a line here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from selfsteer.agents.models.waits import TIMEOUT
from selfsteer.errors import ControllerError, MemoryFileError

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from selfsteer.agents.budget import Budget
    from selfsteer.agents.clock import Clock
    from selfsteer.agents.controller import Controller
    from selfsteer.agents.models.chat_model import BatchModel, ChatModel
    from selfsteer.agents.paid_calls import OnAmbiguous, PaidCalls, Price
    from selfsteer.memory.ledger import Ledger
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
        control: what asks the run to stop, also while it waits for answers.
    """

    memory: Memory
    run_id: str
    budget: Budget
    on_ambiguous: OnAmbiguous
    control: RunControl | None = None

    def calls(self, model: ChatModel, price: Price) -> PaidCalls:
        """The paid calls of one model.

        Raises:
            BudgetError: a budget of money for a model whose price is not known.
        """
        from selfsteer.agents.paid_calls import PaidCalls

        return PaidCalls(*self._account(), model, price, *self._terms())

    def batched_calls(self, model: BatchModel, price: Price) -> PaidCalls:
        """The same, with many calls handed in together."""
        from selfsteer.agents.paid_batches import BatchedCalls

        return BatchedCalls(*self._account(), model, price, *self._terms())

    def _account(self) -> tuple[Ledger, str, Budget]:
        return self.memory.ledger, self.run_id, self.budget

    def _terms(self) -> tuple[OnAmbiguous, Clock, str]:
        from selfsteer.app.hints import command

        resume = command(f"resume {self.run_id}", self.memory.path)
        return self.on_ambiguous, self._clock(), resume

    def _clock(self) -> Clock:
        """Goes on from where the run was stopped."""
        from selfsteer.agents.clock import Clock

        try:
            seconds = self.memory.runs.get(self.run_id).seconds
        except MemoryFileError:
            seconds = 0.0  # a fresh run is put on record when it begins
        return Clock(seconds / 60, self.control)


class Deciders(BaseModel):
    """Who decides, as the person said it; kept with the run, so that `resume` needs nothing.

    Attributes:
        controller: a name in `CONTROLLERS`.
        model: name of the large model, for controllers that ask one.
        base_url: where it is asked; None is the provider's own place.
        roles: other controllers for some of the decisions.
        batch: hand many calls in together.
        timeout: seconds that the large model may send nothing before a call is given up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    controller: str = "self"
    model: str | None = None
    base_url: str | None = None
    roles: dict[str, str] = {}
    batch: bool = False
    timeout: float = TIMEOUT


Builder = Callable[["Student", "ContrastiveDataset | None", Payer, Deciders], "Controller"]


def _self(
    student: Student, dataset: ContrastiveDataset | None, payer: Payer, who: Deciders
) -> Controller:
    from selfsteer.agents.self_controller import SelfController

    _no_dataset("self", dataset)
    return SelfController(student)


def _search(
    student: Student, dataset: ContrastiveDataset | None, payer: Payer, who: Deciders
) -> Controller:
    from selfsteer.agents.search import SearchController

    return SearchController(student, dataset)


def _claude(
    student: Student, dataset: ContrastiveDataset | None, payer: Payer, who: Deciders
) -> Controller:
    from selfsteer.agents.llm_controller import LlmController
    from selfsteer.agents.models.anthropic_model import AnthropicModel

    _no_dataset("claude", dataset)
    model = AnthropicModel(_model(who, "claude"), base_url=who.base_url, timeout=who.timeout)
    calls = payer.batched_calls if who.batch else payer.calls
    return LlmController("claude", calls(model, _price(model)))


def _openai(
    student: Student, dataset: ContrastiveDataset | None, payer: Payer, who: Deciders
) -> Controller:
    from selfsteer.agents.llm_controller import LlmController
    from selfsteer.agents.models.openai_model import OpenAIModel

    _no_dataset("openai", dataset)
    model = OpenAIModel(_model(who, "openai"), base_url=who.base_url, timeout=who.timeout)
    return LlmController("openai", payer.calls(model, _price(model)))


def _price(model: ChatModel) -> Price:
    """What the settings say of the model's own name, without its provider."""
    from selfsteer.agents.models.prices import cost, price_table

    return partial(cost, model=model.name.partition("/")[2], table=price_table())


def _no_dataset(name: str, dataset: ContrastiveDataset | None) -> None:
    if dataset is not None:
        raise ControllerError(
            f"The controller {name} makes its own data; give --dataset to the controller search."
        )


def _model(who: Deciders, controller: str) -> str:
    if not who.model:
        raise ControllerError(
            f"The controller {controller} needs the name of a model: give --model, or put it into "
            "the environment as SELFSTEER_MODEL."
        )
    return who.model


CONTROLLERS: dict[str, Builder] = {
    "self": _self,
    "search": _search,
    "claude": _claude,
    "openai": _openai,
}


def build_controller(
    who: Deciders, student: Student, dataset: ContrastiveDataset | None, payer: Payer
) -> Controller:
    """The controller for a student, with its roles split where that was asked for.

    Args:
        dataset: pairs that the person gave.
        payer: the run that it decides; controllers that pay for nothing leave it alone.

    Raises:
        ControllerError: an unknown name or role, a dataset for a controller that takes none, or
            a large model without a name or key.
    """
    check_deciders(who)
    main = CONTROLLERS[who.controller](student, dataset, payer, who)
    if not who.roles:
        return main
    from selfsteer.agents.split_controller import ROLES, SplitController

    built = {who.controller: main}
    for name in who.roles.values():
        if name not in built:
            built[name] = CONTROLLERS[name](student, None, payer, who)
    return SplitController(main, {r: built[who.roles[r]] for r in ROLES if r in who.roles})


def check_deciders(who: Deciders) -> None:
    """Refuse unknown names before anything is loaded.

    Raises:
        ControllerError: there is no such controller or role, or no such time.
    """
    from selfsteer.agents.split_controller import ROLES

    for name in (who.controller, *who.roles.values()):
        if name not in CONTROLLERS:
            raise ControllerError(
                f"Unknown controller {name!r}; it is one of {', '.join(CONTROLLERS)}."
            )
    if who.batch and "claude" not in (who.controller, *who.roles.values()):
        raise ControllerError("--batch hands calls in together, which only claude does.")
    if not 0 < who.timeout < math.inf:
        raise ControllerError(f"--timeout must be seconds above 0, not {who.timeout:g}.")
    strange = [role for role in who.roles if role not in ROLES]
    if strange:
        raise ControllerError(f"Unknown role {strange[0]!r}; it is one of {', '.join(ROLES)}.")
