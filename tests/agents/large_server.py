"""A large model on the loopback interface: it plays every role of a controller by a simple rule."""

from __future__ import annotations

import json
from typing import Any

from tests.agents.doubles import first_half
from tests.agents.large import fenced, proposal
from tests.loopback import completions, messages
from tests.loopback.server import Answer, Asked


def role_of(system: str) -> str:
    """Which prompt a request was made with, by its first words."""
    known = {
        "You design data": "propose",
        "You choose where": "choose",
        "You judge replies": "judge",
        "You decide what": "reflect",
    }
    return next(role for words, role in known.items() if system.startswith(words))


def answer_to(system: str, task: str) -> dict[str, Any]:
    """Judges letters as the scripted controller does, and confirms whatever came of it."""
    role = role_of(system)
    if role == "propose":
        return proposal(positive=[f"use the first half of the alphabet {i}" for i in range(5)])
    if role == "choose":
        return {
            "sites": ["reply"], "layers": [0, 2], "operators": ["add"],
            "low": 0.02, "high": 0.2, "reason": "small doses",
        }  # fmt: skip
    if role == "judge":
        scores = [round(100 * first_half(reply)) for reply in fenced(task, "reply")]
        return {"verdicts": [{"number": i, "score": s} for i, s in enumerate(scores, start=1)]}
    return {"action": "confirm", "reason": "it will do"}


def anthropic(asked: Asked) -> Answer:
    """As Anthropic's Messages API answers, streamed where that is asked for."""
    (system,) = asked.body["system"]
    text = json.dumps(answer_to(system["text"], asked.body["messages"][0]["content"]))
    if asked.body.get("stream"):
        return messages.streamed(messages.events(text))
    return messages.said(text)


def openai(asked: Asked) -> Answer:
    """As an OpenAI-compatible server answers."""
    system, task = (message["content"] for message in asked.body["messages"][:2])
    return completions.said(json.dumps(answer_to(system, task)))
