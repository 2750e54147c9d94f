"""What is applied for a user: the plan of the vector in use, and what came since it was derived."""

from __future__ import annotations

from selfsteer.agents.users.histories import history_of
from selfsteer.errors import UserError
from selfsteer.memory.store import Memory
from selfsteer.memory.users import UserVector
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.users.history import History


def version_in_use(memory: Memory, student: Student, user_id: str) -> UserVector:
    """The version that is in use for a user and a student.

    Raises:
        UserError: an unknown user; none is in use for this student; or it was made with something
            learned of users that is stale, because one of them was forgotten or withdrew.
    """
    versions = memory.users.versions(user_id)
    found = memory.users.current(user_id, student.fingerprint)
    again = f"'selfsteer user derive {user_id}'"
    if found is None:
        others = any(one.status == "in_use" for one in versions)
        raise UserError(
            f"User {user_id!a} has no vector in use for {student.name}"
            + (", only for another student" if others else "")
            + f"; {again} derives one and tries it."
        )
    if memory.users.stale_pools(str(found.settings.get("encoder", ""))):
        raise UserError(
            f"The vector in use for user {user_id!a} is stale: somebody whom it was made with was "
            f"forgotten or withdrew consent; {again} makes it anew."
        )
    return found


def plan_of(memory: Memory, version: UserVector) -> Plan:
    """The plan of a version, with its vectors.

    Raises:
        MemoryFileError: a vector is gone or was altered.
    """
    edits: list[dict[str, object]] = version.plan["edits"]  # type: ignore[assignment]
    return Plan(tuple(Edit.read(told, memory.get_vector) for told in edits))


def told_and_since(memory: Memory, version: UserVector) -> tuple[History, History]:
    """What a version was derived from, and what was observed since."""
    observations = memory.users.observations(version.user_id)
    since, before = history_of(observations).parted(
        [one.id for one in observations if one.created > version.created]
    )
    told, _ = before.parted(version.evidence)
    return told, since
