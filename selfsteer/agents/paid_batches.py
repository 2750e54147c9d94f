"""Many calls of a paid model handed in together, which providers answer later and cheaper.

The calls of a batch are on record before it is handed in, and its id as soon as it was, so that a
process that comes after a crash fetches the answers instead of paying again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfsteer.agents.budget import Budget
from selfsteer.agents.models.chat_model import Ask, BatchModel
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused
from selfsteer.agents.paid_calls import OnAmbiguous, PaidCalls, Price
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
    ) -> None:
        super().__init__(ledger, run_id, budget, model, price, on_ambiguous)
        self._batches = model

    def prefetch(self, step: str, role: str, asks: Iterable[Ask]) -> None:
        """Get the replies to many calls on record; what has no reply then is for `ask` to settle.

        Raises:
            OutOfBudget: the calls together might go past a limit; nothing was sent.
            CallAmbiguous: the batch was accepted and cannot be fetched; a resumed run tries again.
        """
        fresh: dict[str, tuple[PaidCall, Ask]] = {}
        waiting: dict[str, dict[int, PaidCall]] = {}
        sizes: dict[str, int] = {}
        for ask in asks:
            call, entry = self._last(step, role, ask)
            if entry is None or entry.status == "refused":
                fresh[call.key] = (call, ask)
            elif entry.status == "sent" and entry.batch is not None:
                waiting.setdefault(entry.batch.id, {})[entry.batch.place] = call
                sizes[entry.batch.id] = entry.batch.count
        for batch_id, calls in waiting.items():
            self._fetch(batch_id, sizes[batch_id], calls)
        if len(fresh) >= MANY:
            self._hand_in(list(fresh.values()))

    def _hand_in(self, fresh: Sequence[tuple[PaidCall, Ask]]) -> None:
        calls = [call for call, _ in fresh]
        self._begin(*((call, self._at_most(call, ask)) for call, ask in fresh))
        try:
            batch_id = self._batches.start_batch([self._model.request(ask) for _, ask in fresh])
        except CallRefused:
            # One by one they may be welcome: the server may have no batches.
            for call in calls:
                self._ledger.refused(call)
            return
        except CallAmbiguous:
            return  # every one of them is in doubt, which `ask` settles as it was told
        self._ledger.batched(calls, batch_id)
        self._fetch(batch_id, len(calls), dict(enumerate(calls)))

    def _fetch(self, batch_id: str, count: int, calls: dict[int, PaidCall]) -> None:
        """Wait for a batch and put the answers to these of its calls on record."""
        answers = self._batches.finish_batch(batch_id, count)
        for place, call in calls.items():
            answer = answers[place]
            if isinstance(answer, str):
                self._ledger.commit(call, answer)
            elif isinstance(answer, CallRefused):
                self._ledger.refused(call)
