"""A paid model without a network, and what it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from selfsteer.agents.models.bodies import unreadable
from selfsteer.agents.models.chat_model import Ask, Reply, Usage
from selfsteer.agents.models.prices import Cost
from selfsteer.steering.prompts import Message

PRICE = 0.001  # dollars a token
PAGE = "<html>"  # in a script: a body that is no reply


class FakeModel:
    """Implements `ChatModel`: answers with what a script says, and raises the errors in it."""

    name = "fake/model"

    def __init__(self, *script: str | Exception, tokens: int = 10) -> None:
        self._script: Iterator[str | Exception] = iter(script)
        self._tokens = tokens
        self.sent: list[Mapping[str, Any]] = []

    def request(self, ask: Ask) -> dict[str, Any]:
        return {"model": self.name, **ask.model_dump(mode="json")}

    def send(self, request: Mapping[str, Any]) -> str:
        self.sent.append(request)
        step = next(self._script, "yes")
        if isinstance(step, Exception):
            raise step
        if step == PAGE:
            return step
        return json.dumps({"text": step, "tokens": self._tokens})

    def read(self, body: str) -> Reply:
        if body == PAGE:
            raise unreadable("the fake endpoint", body)
        answer = json.loads(body)
        tokens = answer["tokens"]
        usage = Usage(input_tokens=tokens, output_tokens=tokens, counted=tokens > 0)
        return Reply(text=answer["text"], stop="end", usage=usage, model=self.name)


def price(usage: Usage, *, batched: bool = False) -> Cost:
    """The same price for every token, and half of it in a batch."""
    tokens = usage.input_tokens + usage.output_tokens + usage.cache_write_tokens
    return Cost(dollars=PRICE * tokens * (0.5 if batched else 1.0))


def question(words: str = "What now?", max_tokens: int = 50) -> Ask:
    """Something to ask."""
    return Ask(
        system="Be brief.",
        messages=(Message(role="user", content=words),),
        answer_schema={"type": "object"},
        answer_name="answer",
        max_tokens=max_tokens,
    )
