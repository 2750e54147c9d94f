"""An allow-list of random vectors, and a chooser that says what it is told to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from selfsteer.agents.steer_choosers import Choice
from selfsteer.agents.steer_tool import Steerable
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit
from selfsteer.steering.prompts import Prompt
from tests.steering.students import build_student, build_vector

LONG = {"max_position_embeddings": 4096}  # a character a token: the tool's message is long
NAMES = ("glad", "fröhlich", "dry")


def build_reader() -> Student:
    """A random student with room for the tool's message."""
    return build_student("llama", **LONG)


def steerables(student: Student, names: Sequence[str] = NAMES) -> list[Steerable]:
    """A random vector for each name, with strengths from 0.2 to 0.8."""
    return [
        Steerable(name, Edit(build_vector(student, seed=i), (1,), 0.5), 0.2, 0.8)
        for i, name in enumerate(names)
    ]


class Script:
    """A chooser that gives these texts, one a turn, and keeps what it was asked."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self.asked: list[tuple[Prompt, list[str]]] = []

    def choose(
        self,
        student: Student,
        prompt: Prompt,
        allowed: Mapping[str, Steerable],
        active: Sequence[str],
    ) -> Choice:
        self.asked.append((prompt, list(active)))
        return Choice(next(self._texts))
