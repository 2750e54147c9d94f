"""The record of calls that cost money: written before the request, and before the reply is read.

The order of a paid call is: :meth:`Ledger.replay`; if that gives nothing, check the budget,
:meth:`Ledger.begin`, call, :meth:`Ledger.commit`, read what it cost, :meth:`Ledger.charge`, parse,
:meth:`Ledger.parsed`. A process that dies between ``begin`` and ``commit`` leaves an entry without
a reply: it counts as spent, and asking again is a new ``attempt``, for a policy to allow. A request
that was turned away unpaid is :meth:`Ledger.refused`, and may be begun again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, JsonValue

from selfsteer.errors import MemoryFileError
from selfsteer.memory.connection import Connection, now
from selfsteer.memory.records import Batched, Charge, LedgerEntry, Paid, to_json
from selfsteer.memory.runs import insert


class PaidCall(BaseModel):
    """What identifies a call: where in the run it is made, and the request itself.

    Attributes:
        run_id: the run that pays.
        step: the node of the loop and its turn, for example ``propose-2``.
        role: what the controller is asked to be.
        attempt: 1, then 2 for asking the same again.
        request: the whole request as it goes out, without credentials.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    step: str
    role: str
    attempt: int
    request: JsonValue

    @property
    def request_hash(self) -> str:
        """sha256 of the canonical JSON of the request."""
        return hashlib.sha256(to_json(self.request).encode()).hexdigest()

    @property
    def key(self) -> str:
        """The name of the call in the ledger; another request at the same place is another call."""
        place = [self.run_id, self.step, self.role, self.attempt, self.request_hash]
        return hashlib.sha256(to_json(place).encode()).hexdigest()


class Ledger:
    """Paid calls and their replies."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def replay(self, call: PaidCall) -> LedgerEntry | None:
        """The entry of a call that was made before: with its reply, or without one."""
        rows = self._connection.query("SELECT * FROM ledger WHERE key = ?", [call.key])
        return LedgerEntry.from_row(rows[0]) if rows else None

    def begin(self, call: PaidCall, expected: Charge) -> None:
        """Put a call on record, before its request leaves.

        Args:
            expected: what it may cost at most; it counts until the reply says what it did cost.

        Raises:
            MemoryFileError: the call is on record; it would be paid twice.
        """
        with self._connection.write() as db:
            added = db.execute(
                "INSERT INTO ledger (key, run_id, step, role, attempt, request_hash, request, "
                "expected, status, sent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'sent', ?) "
                "ON CONFLICT (key) DO UPDATE SET status = 'sent', sent = excluded.sent, "
                "expected = excluded.expected, batch = NULL WHERE status = 'refused'",
                [
                    call.key,
                    call.run_id,
                    call.step,
                    call.role,
                    call.attempt,
                    call.request_hash,
                    to_json(call.request),
                    to_json(expected.model_dump()),
                    now(),
                ],
            ).rowcount
        if not added:
            raise MemoryFileError(
                f"The call {call.step}/{call.role}/{call.attempt} of run {call.run_id} has been "
                "sent before; replay it, or ask again as a new attempt."
            )

    def begin_together(self, calls: Sequence[tuple[PaidCall, Charge]]) -> None:
        """Put calls on record, all or none; see `begin`."""
        with self._connection.write():
            for call, expected in calls:
                self.begin(call, expected)

    def batched(self, calls: Sequence[PaidCall], batch_id: str) -> None:
        """Note that calls were handed in together, in this order; all of them or none.

        Raises:
            MemoryFileError: one was not begun, or has a reply.
        """
        with self._connection.write():
            for place, call in enumerate(calls):
                batch = Batched(id=batch_id, place=place, count=len(calls))
                self._move(
                    call,
                    "UPDATE ledger SET batch = :batch WHERE key = :key AND status = 'sent'",
                    {"batch": to_json(batch.model_dump())},
                )

    def refused(self, call: PaidCall) -> None:
        """Note that a request was turned away and not paid; it may be begun again.

        Raises:
            MemoryFileError: the call was not begun, or has a reply.
        """
        self._move(
            call, "UPDATE ledger SET status = 'refused' WHERE key = :key AND status = 'sent'", {}
        )

    def commit(self, call: PaidCall, response: str) -> None:
        """Put the reply on record as it came, before anything reads it.

        Raises:
            MemoryFileError: the call was not begun, or has a reply.
        """
        self._move(
            call,
            "UPDATE ledger SET status = 'committed', response = :response, committed = :time "
            "WHERE key = :key AND status = 'sent'",
            {"response": response},
        )

    def charge(self, call: PaidCall, usage: Charge) -> None:
        """Note what a reply did cost, once.

        Raises:
            MemoryFileError: the call has no reply, or its cost is on record.
        """
        self._move(
            call,
            "UPDATE ledger SET usage = :usage "
            "WHERE key = :key AND response IS NOT NULL AND usage IS NULL",
            {"usage": to_json(usage.model_dump())},
        )

    def parsed(self, call: PaidCall) -> None:
        """Mark a reply as understood; repeating it changes nothing.

        Raises:
            MemoryFileError: the call has no reply.
        """
        self._move(
            call,
            "UPDATE ledger SET status = 'parsed', parsed = coalesce(parsed, :time) "
            "WHERE key = :key AND response IS NOT NULL",
            {},
        )

    def adopt(self, entries: Sequence[LedgerEntry]) -> None:
        """Take over the calls of a run of another memory, as they stand there."""
        with self._connection.write() as db:
            for entry in entries:
                insert(db, "ledger", entry)

    def entries(self, run_id: str) -> list[LedgerEntry]:
        """Every call of a run, in the order in which they were sent."""
        rows = self._connection.query(
            "SELECT * FROM ledger WHERE run_id = ? ORDER BY sent, rowid", [run_id]
        )
        return [LedgerEntry.from_row(row) for row in rows]

    def paid(self, run_id: str) -> Paid:
        """What a run has spent; a call without a reading of its cost counts at its most."""
        rows = self._connection.query(
            "SELECT usage, expected FROM ledger WHERE run_id = ? AND status != 'refused'",
            [run_id],
        )
        charges = [_counted(row["usage"], row["expected"]) for row in rows]
        costs = [charge.cost for charge in charges if charge.cost is not None]
        return Paid(
            calls=len(charges),
            tokens=sum(charge.tokens for charge in charges),
            cost=sum(costs) if len(costs) == len(charges) else None,
            exact=all(charge.exact for charge in charges),
        )

    def _move(self, call: PaidCall, statement: str, values: Mapping[str, str]) -> None:
        with self._connection.write() as db:
            changed = db.execute(statement, {**values, "key": call.key, "time": now()}).rowcount
        if changed != 1:
            raise MemoryFileError(
                f"The call {call.step}/{call.role}/{call.attempt} of run {call.run_id} is not at "
                "this step in the ledger: begin, then commit once, then parse."
            )


def _counted(usage: str | None, expected: str) -> Charge:
    """What a call counts as: what it did cost, and the most that it may have where that is open."""
    most = Charge.model_validate_json(expected).model_copy(update={"exact": False})
    if usage is None:
        return most
    charge = Charge.model_validate_json(usage)
    if charge.cost is None and most.cost is not None:
        return charge.model_copy(update={"cost": most.cost, "exact": False})
    return charge
