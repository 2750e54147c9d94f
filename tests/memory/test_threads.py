"""Threads may share a memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from selfsteer.memory import Memory, Run


def test_transactions_of_threads_do_not_mix(memory: Memory, run: Run) -> None:
    def write(number: int) -> None:
        if number % 3 == 0:
            with pytest.raises(ZeroDivisionError), memory._connection.write():
                memory.runs.add_event(run.id, "undone", {"number": number})
                _ = 1 / 0
        else:
            memory.runs.add_event(run.id, "done", {"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(120)))
    events = memory.runs.events(run.id)
    assert [event.sequence for event in events] == list(range(1, 81))
    assert {event.kind for event in events} == {"done"}
    assert {event.payload["number"] for event in events} == {n for n in range(120) if n % 3}
