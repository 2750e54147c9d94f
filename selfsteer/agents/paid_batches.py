"""Many calls of a paid model handed in together, which providers answer later and cheaper.

The calls of a batch are on record before it is handed in, and its id as soon as it was, so that a
process that comes after a crash fetches the answers instead of paying again. Where the id is not on
record, the batch is looked for by a mark that follows from its calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from selfsteer.agents.budget import Budget, OutOfBudget, Spent
from selfsteer.agents.clock import Clock
from selfsteer.agents.models.chat_model import Ask, BatchModel
from selfsteer.agents.models.errors import BatchGone, CallAmbiguous, CallRefused
from selfsteer.agents.paid_calls import (
    CallInDoubt,
    OnAmbiguous,
    PaidCalls,
    Price,
    and_then,
    is_last_look,
    next_attempt,
)
from selfsteer.memory.ledger import Ledger, PaidCall

# Calls below which waiting for a batch is not worth what it saves.
MANY = 8


class BatchedCalls(PaidCalls):
    """As `PaidCalls`, with many calls handed in together.

    Args and errors are those of `PaidCalls`; the model takes batches.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        budget: Budget,
        model: BatchModel,
        price: Price,
        on_ambiguous: OnAmbiguous = "ask",
        clock: Clock | None = None,
        resume: str | None = None,
    ) -> None:
        super().__init__(ledger, run_id, budget, model, price, on_ambiguous, clock, resume)
        self._batches = model

    def prefetch(self, step: str, role: str, asks: Iterable[Ask]) -> None:
        """Get the replies to many calls on record; what has no reply then is for `ask` to settle.

        Raises:
            OutOfBudget: the calls together might go past a limit, and nothing was sent, or the
                minutes ran out while a batch was waited for.
            StopAsked: the run was asked to stop while a batch was waited for.
            CallInDoubt: a batch was accepted, or may have been, and cannot be fetched or looked
                for: for now, or under "ask" for good. A resumed run tries again.
        """
        fresh: dict[str, tuple[PaidCall, Ask]] = {}
        lost: dict[str, tuple[PaidCall, Ask]] = {}
        waiting: dict[str, dict[int, tuple[PaidCall, Ask]]] = {}
        sizes: dict[str, int] = {}
        for ask in asks:
            call, entry = self._last(step, role, ask)
            if entry is None or entry.status == "refused":
                fresh[call.key] = (call, ask)
            elif entry.status == "sent" and entry.batch is None:
                lost[call.key] = (call, ask)
            elif entry.status == "sent" and entry.batch is not None:
                waiting.setdefault(entry.batch.id, {})[entry.batch.place] = (call, ask)
                sizes[entry.batch.id] = entry.batch.count
        if len(lost) >= MANY:
            self._look_for(_in_order(lost))
        for batch_id, calls in waiting.items():
            anew = self._fetch(batch_id, sizes[batch_id], calls)
            fresh |= {call.key: (call, ask) for call, ask in anew}
        if len(fresh) >= MANY and self._shortage() is None:
            self._hand_in(_in_order(fresh))

    def _hand_in(self, fresh: Sequence[tuple[PaidCall, Ask]]) -> None:
        requests = [self._model.request(ask) for _, ask in fresh]
        try:
            batch_id = self._deliver(
                [(call, self._at_most(call, ask, batched=True)) for call, ask in fresh],
                lambda: self._batches.start_batch(requests, _mark(fresh)),
            )
        except CallRefused:
            return  # one by one they may be welcome: the server may have no batches
        except CallAmbiguous:
            self._look_for(fresh)
            return
        self._take(batch_id, fresh)

    def _look_for(self, calls: Sequence[tuple[PaidCall, Ask]]) -> None:
        """Fetch the batch of calls that may have been handed in, where it can be found; where not,
        each of them is in doubt, which `ask` settles as it was told.

        Raises:
            CallInDoubt: the provider cannot be asked now; whatever was told, nothing is paid again.
        """
        since = min(entry.sent for call, _ in calls if (entry := self._ledger.replay(call)))
        try:
            batch_id = self._batches.find_batch(
                _mark(calls), len(calls), datetime.fromisoformat(since), self._between_looks
            )
        except CallAmbiguous as error:
            looks = f"`{self._resume}` looks for it again, and pays nothing again"
            raise CallInDoubt(f"{and_then(error)} {looks}.") from error
        if batch_id is not None:
            self._take(batch_id, calls)

    def _take(self, batch_id: str, calls: Sequence[tuple[PaidCall, Ask]]) -> None:
        """Note the name of a batch of these calls, and fetch it."""
        self._ledger.batched([call for call, _ in calls], batch_id)
        self._fetch(batch_id, len(calls), dict(enumerate(calls)))

    def _fetch(
        self, batch_id: str, count: int, calls: dict[int, tuple[PaidCall, Ask]]
    ) -> list[tuple[PaidCall, Ask]]:
        """Wait for a batch and put the answers to these of its calls on record.

        Returns:
            the calls as new attempts, where the batch is gone and they are to be paid again.
        """
        try:
            answers = self._batches.finish_batch(batch_id, count, self._between_looks)
        except BatchGone as error:
            if self._on_ambiguous == "retry":
                return [(next_attempt(call), ask) for call, ask in calls.values()]
            raise CallInDoubt(f"{and_then(error)} {self._again()}.") from error
        except CallAmbiguous as error:
            fetches = f"`{self._resume}` fetches it, and pays nothing again"
            raise CallInDoubt(f"{and_then(error)} {fetches}.") from error
        for place, (call, _) in calls.items():
            answer = answers[place]
            if isinstance(answer, str):
                self._ledger.commit(call, answer)
            elif isinstance(answer, CallRefused):
                self._ledger.refused(call)
        return []

    def _between_looks(self) -> None:
        """Break off the wait for a batch; its calls stay on record with it.

        The last look waits on, because nothing else can bring its verdict.
        """
        if self._clock is not None:
            self._clock.check()
        shortage = self._shortage()
        if shortage is not None and not is_last_look():
            raise OutOfBudget(shortage)

    def _shortage(self) -> str | None:
        """Whether the minutes are used up: nothing that may take a day is begun then."""
        return self._budget.exceeded(Spent(minutes=self._minutes()))


def _in_order(calls: Mapping[str, tuple[PaidCall, Ask]]) -> list[tuple[PaidCall, Ask]]:
    """Calls by their keys, so that they have the same places whoever comes for them."""
    return [calls[key] for key in sorted(calls)]


def _mark(calls: Sequence[tuple[PaidCall, Ask]]) -> str:
    """What a batch of these calls, and no other, is known by."""
    keys = "".join(call.key for call, _ in calls)
    return hashlib.sha256(keys.encode()).hexdigest()[:40]
