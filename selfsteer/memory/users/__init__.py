"""Users: what was observed of them, their vectors, who is in what is pooled, and forgetting."""

from __future__ import annotations

from selfsteer.memory.users.observations import (
    Acceptance,
    Edit,
    Message,
    Observation,
    Preference,
    Rating,
)
from selfsteer.memory.users.records import Forgotten, Pooled, StoredObservation, User, UserVector
from selfsteer.memory.users.users import Users

__all__ = [
    "Acceptance",
    "Edit",
    "Forgotten",
    "Message",
    "Observation",
    "Pooled",
    "Preference",
    "Rating",
    "StoredObservation",
    "User",
    "UserVector",
    "Users",
]
