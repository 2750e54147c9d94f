"""Calls of a paid model, each paid at most once: replayed from the ledger, or sent and recorded.

The ledger knows what was sent before anything leaves and what came before anything reads it, so a
process may die anywhere. Where it dies between the two, nobody knows whether the call was paid: it
counts as spent, and whether it is asked again is the person's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from selfsteer.agents.budget import Budget, OutOfBudget, Spent
from selfsteer.agents.models.chat_model import Ask, ChatModel, Reply, Usage
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused
from selfsteer.errors import BudgetError, ControllerError
from selfsteer.memory.ledger import Ledger, PaidCall
from selfsteer.memory.records import Charge, LedgerEntry, Paid, to_json

OnAmbiguous = Literal["ask", "retry"]
Price = Callable[[Usage], float | None]
"""What usage costs in US dollars; None where that is not known."""

# How often one process sends the same call under `retry` before it lets the person look.
MOST_TRIES = 3
# A token of plain text has about four bytes; fewer here, so that a call is rather overestimated.
BYTES_A_TOKEN = 3


# Of every controller limit: without it, a search that has used them up could accept nothing.
KEPT_SHARE = 1 / 8

_last_look: ContextVar[bool] = ContextVar("last_look", default=False)


@contextmanager
def last_look() -> Iterator[None]:
    """Let the calls of this block use what a search leaves of the controller's limits."""
    token = _last_look.set(True)
    try:
        yield
    finally:
        _last_look.reset(token)


class CallInDoubt(ControllerError):
    """A call that may have been paid has no reply on record, and nobody said to ask again."""


class PaidCalls:
    """Asks a paid model on behalf of a run.

    Args:
        ledger: of the memory that holds the run.
        run_id: the run that pays.
        budget: of the run; its controller limits are never passed, and a share of them is kept
            for `last_look`.
        model: what is asked.
        price: of the model.
        on_ambiguous: what becomes of a call of which nobody knows whether it was paid: "ask" stops
            the run, "retry" pays for it again.

    Raises:
        BudgetError: a budget of money for a model whose price is not known.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        budget: Budget,
        model: ChatModel,
        price: Price,
        on_ambiguous: OnAmbiguous = "ask",
    ) -> None:
        if budget.money is not None and price(Usage()) is None:
            raise BudgetError(
                f"A budget of {budget.money:g} dollars cannot be kept, because the prices of "
                f"{model.name} are not known; give its prices in the settings, or limit calls and "
                "tokens instead."
            )
        self._ledger = ledger
        self._run_id = run_id
        self._budget = budget
        self._model = model
        self._price = price
        self._on_ambiguous = on_ambiguous

    @property
    def model(self) -> str:
        """The name of what is asked."""
        return self._model.name

    def ask(self, step: str, role: str, ask: Ask) -> Reply:
        """The model's reply: the one on record if there is one, else a new one that is paid.

        The caller validates what the reply says, and then calls `parsed`.

        Args:
            step: the node of the loop and its turn, for example ``propose/2``.
            role: what the controller is asked to be.

        Raises:
            OutOfBudget: the call might go past a limit of the controller, or outside `last_look`
                past what is not kept for it; nothing was sent.
            CallInDoubt: the call was sent before and has no reply, under "ask".
            CallRefused: it was turned away and not paid; it may be asked again.
            UnreadableReply: the reply is on record and is none of this model's.
        """
        doubt: CallAmbiguous | None = None
        tries = 0
        while True:
            call, entry = self._last(step, role, ask)
            if entry is not None and entry.response is not None:
                return self._read(call, entry)
            if entry is not None and entry.status == "sent":
                if self._on_ambiguous == "ask" or tries == MOST_TRIES:
                    raise self._in_doubt(call) from doubt
                call = _next(call)
            tries += 1
            try:
                self._send(call, self._at_most(call, ask))
            except CallAmbiguous as error:
                doubt = error

    def prefetch(self, step: str, role: str, asks: Iterable[Ask]) -> None:
        """Get many replies on record before they are asked for: here that would save nothing."""

    def parsed(self, step: str, role: str, ask: Ask) -> None:
        """Mark the reply to `ask` as understood.

        Raises:
            MemoryFileError: there is no reply.
        """
        call, _ = self._last(step, role, ask)
        self._ledger.parsed(call)

    def _last(self, step: str, role: str, ask: Ask) -> tuple[PaidCall, LedgerEntry | None]:
        """The last attempt of a call and its entry; the first one where there is none."""
        request = self._model.request(ask)
        call = PaidCall(run_id=self._run_id, step=step, role=role, attempt=1, request=request)
        entry = self._ledger.replay(call)
        while entry is not None:
            later = self._ledger.replay(_next(call))
            if later is None:
                break
            call, entry = _next(call), later
        return call, entry

    def _begin(self, *calls: tuple[PaidCall, Charge]) -> None:
        """Put calls on record that the budget has room for, all or none.

        Raises:
            OutOfBudget: it has none.
        """
        paid, kept = self._ledger.paid(self._run_id), self._kept()
        shortage = self._budget.exceeded(
            Spent(
                controller_calls=paid.calls + len(calls) + kept.controller_calls,
                controller_tokens=paid.tokens
                + sum(expected.tokens for _, expected in calls)
                + kept.controller_tokens,
                money=(paid.cost or 0.0)
                + sum(expected.cost or 0.0 for _, expected in calls)
                + (kept.money or 0.0),
            )
        )
        if shortage is not None:
            raise OutOfBudget(shortage)
        self._ledger.begin_together(calls)

    def _send(self, call: PaidCall, expected: Charge) -> None:
        """Send a call and put its reply on record."""
        self._begin((call, expected))
        assert isinstance(call.request, dict)
        try:
            body = self._model.send(call.request)
        except CallRefused:
            self._ledger.refused(call)
            raise
        self._ledger.commit(call, body)

    def _kept(self) -> Spent:
        """What a search leaves to the judging that accepts or refuses."""
        if _last_look.get():
            return Spent()
        budget = self._budget
        return Spent(
            controller_calls=int(budget.controller_calls * KEPT_SHARE),
            controller_tokens=int(budget.controller_tokens * KEPT_SHARE),
            money=(budget.money or 0.0) * KEPT_SHARE,
        )

    def _read(self, call: PaidCall, entry: LedgerEntry) -> Reply:
        """Read the body of a reply, and note what it cost if that is not on record yet."""
        assert entry.response is not None
        reply = self._model.read(entry.response)
        # Where the server did not count, the estimate of before stands.
        if entry.usage is None and reply.usage.counted:
            self._ledger.charge(call, self._charge(reply.usage))
        return reply

    def _at_most(self, call: PaidCall, ask: Ask) -> Charge:
        """What a call may cost: its request by a generous estimate, and the longest reply."""
        size = len(to_json(call.request).encode())
        return self._charge(
            Usage(input_tokens=-(-size // BYTES_A_TOKEN), output_tokens=ask.max_tokens)
        )

    def _charge(self, usage: Usage) -> Charge:
        tokens = usage.input_tokens + usage.output_tokens
        tokens += usage.cache_read_tokens + usage.cache_write_tokens
        return Charge(tokens=tokens, cost=self._price(usage))

    def _in_doubt(self, call: PaidCall) -> CallInDoubt:
        return CallInDoubt(
            f"The call {call.step}/{call.role} to {self.model} was sent and has no reply on "
            f"record, so it may have been paid; `selfsteer resume {self._run_id} --on-ambiguous "
            "retry` asks, and pays, again."
        )


def _next(call: PaidCall) -> PaidCall:
    """The same call, asked once more."""
    return call.model_copy(update={"attempt": call.attempt + 1})


def spent_on_calls(paid: Paid) -> Spent:
    """What the ledger says of a run, as a part of what it has spent."""
    return Spent(controller_calls=paid.calls, controller_tokens=paid.tokens, money=paid.cost)
