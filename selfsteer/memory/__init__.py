"""What is remembered: artefacts, the history of runs, accepted plans, and paid calls."""

from __future__ import annotations

from selfsteer.memory.ledger import Ledger, PaidCall
from selfsteer.memory.records import (
    Artefact,
    Candidate,
    Charge,
    Doubt,
    Event,
    LedgerEntry,
    Paid,
    RecallHit,
    Remembered,
    Round,
    Run,
)
from selfsteer.memory.runs import Runs
from selfsteer.memory.store import Memory

__all__ = [
    "Artefact",
    "Candidate",
    "Charge",
    "Doubt",
    "Event",
    "Ledger",
    "LedgerEntry",
    "Memory",
    "Paid",
    "PaidCall",
    "RecallHit",
    "Remembered",
    "Round",
    "Run",
    "Runs",
]
