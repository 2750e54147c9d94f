"""What is remembered: artefacts, the history of runs, accepted plans, and paid calls."""

from __future__ import annotations

from selfsteer.memory.ledger import Ledger, PaidCall
from selfsteer.memory.records import (
    Artefact,
    Candidate,
    Event,
    LedgerEntry,
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
    "Event",
    "Ledger",
    "LedgerEntry",
    "Memory",
    "PaidCall",
    "RecallHit",
    "Remembered",
    "Round",
    "Run",
    "Runs",
]
