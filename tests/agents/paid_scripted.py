"""A controller that follows a script and pays for every step of it, and who answers it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from selfsteer.agents.models.chat_model import Ask, Reply, Usage
from selfsteer.agents.paid_calls import PaidCalls
from selfsteer.agents.types import (
    ContrastiveSpec,
    Decision,
    Goal,
    RoundSummary,
    Sample,
    SearchSpace,
    Verdict,
)
from selfsteer.steering.prompts import Message
from tests.agents.doubles import Scripted, first_half
from tests.loopback.server import Answer, Asked

PRICE = 0.001


class LoopbackModel:
    """Implements `ChatModel` over plain HTTP."""

    name = "loopback/model"

    def __init__(self, url: str) -> None:
        self._url = url

    def request(self, ask: Ask) -> dict[str, Any]:
        return {"role": ask.answer_name, **json.loads(ask.messages[0].content)}

    def send(self, request: Mapping[str, Any]) -> str:
        asked = urllib.request.Request(self._url, json.dumps(request).encode(), method="POST")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return str(answer.read().decode())

    def read(self, body: str) -> Reply:
        usage = Usage(input_tokens=len(body), output_tokens=len(body))
        return Reply(text=body, stop="end", usage=usage, model=self.name)


def price(usage: Usage) -> float | None:
    """The same price for every token."""
    return PRICE * (usage.input_tokens + usage.output_tokens)


def answer(asked: Asked) -> Answer:
    """What the server says: the scores of replies, and whatever else is to be repeated."""
    if asked.body["role"] == "judge":
        return Answer(json.dumps([first_half(reply) for reply in asked.body["replies"]]))
    return Answer(json.dumps({"reason": f"paid {asked.body['role']}"}))


class PaidScripted(Scripted):
    """What `Scripted` decides, with scores and reasons that were paid for."""

    name = "paid"

    def __init__(self, paid: PaidCalls) -> None:
        super().__init__()
        self.model = paid.model
        self._paid = paid

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        said = self._ask(f"propose/{len(history)}", "propose", {"goal": goal.text})
        return super().propose(goal, history).model_copy(update={"reason": said["reason"]})

    def choose(self, goal: Goal, evidence: Any, history: Sequence[RoundSummary]) -> SearchSpace:
        rows = [[row.layer, round(row.auroc, 6)] for row in evidence]
        said = self._ask(f"choose/{len(history)}", "choose", {"evidence": rows})
        return super().choose(goal, evidence, history).model_copy(update=said)

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        replies = [sample.reply for sample in samples]
        return [Verdict(score=s) for s in self._ask("judge", "judge", {"replies": replies})]

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        last = history[-1].model_dump(mode="json")
        said = self._ask(f"reflect/{len(history)}", "reflect", {"round": last})
        return super().reflect(goal, history).model_copy(update=said)

    def _ask(self, step: str, role: str, question: Mapping[str, Any]) -> Any:
        ask = Ask(
            system="Be exact.",
            messages=(Message(role="user", content=json.dumps(question)),),
            answer_schema={"type": "object"},
            answer_name=role,
            max_tokens=1_000,
        )
        said = json.loads(self._paid.ask(step, role, ask).text)
        self._paid.parsed(step, role, ask)
        return said
