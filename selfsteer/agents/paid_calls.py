"""Calls of a paid model, each paid at most once: replayed from the ledger, or sent and recorded.

The ledger knows what was sent before anything leaves and what came before anything reads it, so a
process may die anywhere. Where it dies between the two, nobody knows whether the call was paid: it
counts as spent, and whether it is asked again is the person's to say. So does a reply that is none:
a web page, or half of a message.

This is the one place where a paid call is repeated. What was certainly not paid is repeated after a
pause, as the same attempt; what may have been paid only under "retry", as a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Literal, Protocol, TypeVar

from selfsteer.agents.budget import Budget, OutOfBudget, Spent
from selfsteer.agents.clock import Clock
from selfsteer.agents.models import waits
from selfsteer.agents.models.chat_model import Ask, ChatModel, Reply, Usage
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused, UnreadableReply
from selfsteer.agents.models.prices import Cost
from selfsteer.errors import BudgetError, ControllerError
from selfsteer.memory.ledger import Ledger, PaidCall
from selfsteer.memory.records import Charge, LedgerEntry, Paid, to_json

OnAmbiguous = Literal["ask", "retry"]
T = TypeVar("T")


class Price(Protocol):
    """What usage costs, in a batch or by itself; None where that is not known."""

    def __call__(self, usage: Usage, *, batched: bool = False) -> Cost | None: ...


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


def is_last_look() -> bool:
    """Whether this is within `last_look`."""
    return _last_look.get()


class CallInDoubt(ControllerError):
    """A call that may have been paid has no reply that can be used, and asking again would pay."""


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
        clock: of the run, for its limit of minutes; None keeps none here.
        resume: the command that goes on with the run, for sentences; None is that of a memory
            which need not be named.

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
        clock: Clock | None = None,
        resume: str | None = None,
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
        self._clock = clock
        self._resume = resume or f"selfsteer resume {run_id}"

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
            CallInDoubt: the call was sent before, and has no reply or one that is none, under
                "ask" or after a few attempts under "retry".
            CallRefused: it was turned away and not paid; it may be asked again.
        """
        doubt: CallAmbiguous | UnreadableReply | None = None
        for tries in count():
            call, entry = self._last(step, role, ask)
            if entry is not None and entry.response is not None:
                try:
                    return self._read(call, entry)
                except UnreadableReply as error:
                    doubt = error
            if entry is not None and entry.status != "refused":
                if self._on_ambiguous == "ask" or tries == MOST_TRIES:
                    raise self._in_doubt(call, doubt) from doubt
                call = next_attempt(call)
            if tries:
                waits.pause(tries - 1)
            try:
                self._send(call, self._at_most(call, ask))
            except CallAmbiguous as error:
                doubt = error
        raise AssertionError("the last try returns or raises")

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
            later = self._ledger.replay(next_attempt(call))
            if later is None:
                break
            call, entry = next_attempt(call), later
        return call, entry

    def _begin(self, *calls: tuple[PaidCall, Charge]) -> None:
        """Put calls on record that the budget has room for, all or none.

        Raises:
            OutOfBudget: it has none.
        """
        paid, kept = self._ledger.paid(self._run_id), self._kept()
        costs = [expected.cost for _, expected in calls]
        shortage = self._budget.exceeded(
            Spent(
                controller_calls=paid.calls + len(calls) + kept.controller_calls,
                controller_tokens=paid.tokens
                + sum(expected.tokens for _, expected in calls)
                + kept.controller_tokens,
                money=_sum([paid.cost, kept.money, *costs]),
                minutes=0.0 if is_last_look() else self._minutes(),
            )
        )
        if shortage is not None:
            raise OutOfBudget(shortage)
        self._ledger.begin_together(calls)

    def _send(self, call: PaidCall, expected: Charge) -> None:
        """Send a call and put its reply on record."""
        request = call.request
        assert isinstance(request, dict)
        body = self._deliver([(call, expected)], lambda: self._model.send(request))
        self._ledger.commit(call, body)

    def _deliver(self, calls: Sequence[tuple[PaidCall, Charge]], send: Callable[[], T]) -> T:
        """Put calls on record and send them together, again where they are turned down for now.

        While it waits to send again nothing is in doubt: the ledger knows that they were refused.

        Raises:
            OutOfBudget: there is no room for them.
            CallRefused: they were turned down for good, or too often.
            CallAmbiguous: they may have been paid.
        """
        for repeats in count():
            self._begin(*calls)
            try:
                return send()
            except CallRefused as error:
                for call, _ in calls:
                    self._ledger.refused(call)
                if (
                    not error.passing
                    or repeats == waits.MOST_REPEATS
                    or (error.wait or 0) > waits.LONGEST
                ):
                    raise
                waits.pause(repeats, error.wait)
        raise AssertionError("the last attempt returns or raises")

    def _minutes(self) -> float:
        return 0.0 if self._clock is None else self._clock.minutes()

    def _kept(self) -> Spent:
        """What a search leaves to the judging that accepts or refuses."""
        if is_last_look():
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
            self._ledger.charge(call, self._charge(reply.usage, batched=entry.batch is not None))
        return reply

    def _at_most(self, call: PaidCall, ask: Ask, *, batched: bool = False) -> Charge:
        """What a call may cost: its request by a generous estimate, and the longest reply.

        What is read may be dearer where it goes into the cache.
        """
        size = len(to_json(call.request).encode())
        read = -(-size // BYTES_A_TOKEN)
        charges = [
            self._charge(usage, batched=batched)
            for usage in (
                Usage(input_tokens=read, output_tokens=ask.max_tokens),
                Usage(cache_write_tokens=read, output_tokens=ask.max_tokens),
            )
        ]
        most = max(charges, key=lambda charge: charge.cost or 0.0)
        return most.model_copy(update={"exact": False})

    def _charge(self, usage: Usage, *, batched: bool) -> Charge:
        tokens = usage.input_tokens + usage.output_tokens
        tokens += usage.cache_read_tokens + usage.cache_write_tokens
        cost = self._price(usage, batched=batched)
        if cost is None:
            return Charge(tokens=tokens, cost=None)
        return Charge(tokens=tokens, cost=cost.dollars, exact=cost.exact)

    def _in_doubt(self, call: PaidCall, doubt: Exception | None) -> CallInDoubt:
        named = f"call {call.step}/{call.role}"
        if doubt is not None:
            told = and_then(doubt)
            return CallInDoubt(f"{told} the {named} counts as paid, and {self._again()}.")
        return CallInDoubt(
            f"The {named} to {self.model} was sent and has no reply on record, "
            f"so it may have been paid; {self._again()}."
        )

    def _again(self) -> str:
        return f"`{self._resume} --on-ambiguous retry` asks, and pays, again"


def next_attempt(call: PaidCall) -> PaidCall:
    """The same call, asked once more."""
    return call.model_copy(update={"attempt": call.attempt + 1})


def and_then(error: Exception) -> str:
    """The sentence of an error, to be gone on with."""
    return f"{str(error).removesuffix('.')};"


def _sum(costs: Sequence[float | None]) -> float | None:
    """The sum; None where a part of it is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def spent_on_calls(paid: Paid) -> Spent:
    """What the ledger says of a run, as a part of what it has spent."""
    return Spent(controller_calls=paid.calls, controller_tokens=paid.tokens, money=paid.cost)
