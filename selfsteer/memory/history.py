"""All that a run did, as events: what it told, and what its tables hold beside that.

A candidate and a round are told where they were put on record: a reader of these events needs no
table. They are derived at every reading, so nothing is stored twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TypeVar

from selfsteer.memory.records import Candidate, Event, Round
from selfsteer.memory.store import Memory

Row = TypeVar("Row", Candidate, Round)

_CANDIDATE, _ROUND = "candidate", "round"
_OF_THE_EVENT = {"run_id": "run_id", "created": "time"}  # what a row's event has anyway


def history(memory: Memory, run_id: str) -> list[Event]:
    """The events of a run in order, numbered from 1, with one of the kind "candidate" for each
    candidate and one of the kind "round" for each round.

    A run that goes on only adds to the end.
    """
    rows = [
        *(_told(_CANDIDATE, row, row.created) for row in memory.runs.candidates(run_id)),
        *(_told(_ROUND, row, row.created) for row in memory.runs.rounds(run_id)),
    ]
    rows.sort(key=lambda event: event.time)
    # Within the same millisecond a row goes first: what is told of it is told afterwards.
    merged = heapq.merge(rows, memory.runs.events(run_id), key=lambda event: event.time)
    return [
        event.model_copy(update={"sequence": number})
        for number, event in enumerate(merged, start=1)
    ]


def candidates_of(events: Iterable[Event]) -> list[Candidate]:
    """The candidates in a history, in the order in which they were put on record."""
    return [_row(Candidate, event) for event in events if event.kind == _CANDIDATE]


def rounds_of(events: Iterable[Event]) -> list[Round]:
    """The rounds in a history, in order."""
    return [_row(Round, event) for event in events if event.kind == _ROUND]


def _told(kind: str, row: Candidate | Round, time: str) -> Event:
    payload = row.model_dump(mode="json", exclude=set(_OF_THE_EVENT))
    return Event(run_id=row.run_id, sequence=0, kind=kind, payload=payload, time=time)


def _row(of: type[Row], event: Event) -> Row:
    above = {name: getattr(event, there) for name, there in _OF_THE_EVENT.items()}
    return of.model_validate({**event.payload, **above})
