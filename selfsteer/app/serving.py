"""The plan of the vector in use for a user, for commands that let a student answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfsteer.app.loading import open_memory

if TYPE_CHECKING:
    from selfsteer.steering.model import Student
    from selfsteer.steering.plan import Plan


def plan_for_user(student: Student, user_id: str, db: Path | None) -> Plan:
    """What is applied for a user.

    Raises:
        UserError: an unknown user, one without a vector in use for this student, or a stale one.
        MemoryFileError: no memory, or a vector that was altered.
    """
    from selfsteer.agents.users.serving import plan_of, version_in_use

    with open_memory(db, read_only=True) as memory:
        return plan_of(memory, version_in_use(memory, student, user_id))
