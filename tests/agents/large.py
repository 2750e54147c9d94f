"""A large model on strings: what it answers is scripted, what it was asked is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from selfsteer.agents.models.chat_model import Ask, Reply, Usage

Script = Callable[[str, Ask], Any]
USAGE = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=0, cache_write_tokens=0)


class ScriptedCalls:
    """Implements `Calls` by a function from the prompt's name and the request to an answer.

    An answer is a `Reply`, a string, or anything that is JSON.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self.model = "scripted/scripted-1"
        self.asked: list[tuple[str, str, Ask]] = []
        self.understood: list[Ask] = []
        self.prefetched: list[Ask] = []

    def ask(self, step: str, role: str, ask: Ask) -> Reply:
        self.asked.append((step, role, ask))
        answer = self._script(role.partition("@")[0], ask)
        if isinstance(answer, Reply):
            return answer
        return said(answer if isinstance(answer, str) else json.dumps(answer))

    def prefetch(self, step: str, role: str, asks: Iterable[Ask]) -> None:
        self.prefetched = list(asks)

    def parsed(self, step: str, role: str, ask: Ask) -> None:
        self.understood.append(ask)


def said(text: str, stop: Any = "end") -> Reply:
    return Reply(text=text, stop=stop, usage=USAGE, model="scripted-1")


def fenced(text: str, label: str) -> list[str]:
    """The contents of all fences of a label, as one who obeys the fences reads them."""
    pattern = rf"<data {label} ([0-9a-f]{{12}})>\n(.*?)\n</data \1>"
    return [body for _, body in re.findall(pattern, text, flags=re.DOTALL)]


def questions(count: int = 48) -> list[dict[str, str]]:
    """Questions on six topics."""
    return [{"topic": f"topic {i % 6}", "text": f"What about number {i}?"} for i in range(count)]


def proposal(**other: Any) -> dict[str, Any]:
    answer = {
        "positive": [f"Be merry, way {i}." for i in range(5)],
        "negative": [""],
        "questions": questions(),
        "rubric": "Merry words count.",
        "reason": "Plain contrast.",
    }
    return answer | other
