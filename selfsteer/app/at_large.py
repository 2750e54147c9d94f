"""What is known of users at large: learned where it has to be, with a bar, and made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from selfsteer.app.loading import load_student
from selfsteer.app.output import literal, stderr
from selfsteer.errors import DatasetError, StudentError

if TYPE_CHECKING:
    from selfsteer.memory.store import Memory
    from selfsteer.memory.users import Pooled
    from selfsteer.steering.model import Student
    from selfsteer.steering.users.fitting import Progress
    from selfsteer.steering.users.known import Known


def at_large(memory: Memory, student: Student) -> Known:
    """What is known of users at large; learning it is shown on stderr.

    Raises:
        MemoryFileError: the file cannot be read or written.
    """
    from selfsteer.agents.users.learning import known_users
    from selfsteer.app.crowd import bundled_crowd
    from selfsteer.app.stage_progress import StageProgress

    with StageProgress() as stages:

        def told(progress: Progress) -> None:
            stages("learning what users are like", progress.done, progress.steps)

        return known_users(memory, student, bundled_crowd(), report=told)


def learned_for(memory: Memory) -> list[Pooled]:
    """What was learned of users, for each student."""
    from selfsteer.agents.users.learning import KIND

    return memory.users.newest(KIND)


def learn_anew(memory: Memory, stale: Sequence[Pooled]) -> Iterator[str]:
    """Make anew what was learned and is stale, without those who left.

    One whose student cannot be loaded is told of on stderr; it is learned when that student's users
    are derived next.

    Yields:
        the id of each new artefact, as soon as it is kept.

    Raises:
        MemoryFileError: the file cannot be read or written.
    """
    for pooled in stale:
        name = str(pooled.settings.get("student", ""))
        try:
            student = load_student(name, None, None)
            if student.fingerprint == pooled.fingerprint:
                yield at_large(memory, student).encoder.id
        except (StudentError, DatasetError) as error:
            stderr().print(literal(f"warning: not learned anew for {name!a} yet: {error}"))
