"""A controller that follows a script and pays for every step of it, and who answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from selfsteer.agents.models.anthropic_model import STREAM_ABOVE
from selfsteer.agents.models.chat_model import Ask
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
from tests.loopback import messages
from tests.loopback.server import Answer, Asked


def answer(asked: Asked) -> Answer:
    """What a server of Anthropic's API says: the scores of replies, and whatever else is to be
    repeated."""
    ((system,), (turn,)) = asked.body["system"], asked.body["messages"]
    role, question = system["text"], json.loads(turn["content"])
    if role == "judge":
        text = json.dumps([first_half(reply) for reply in question["replies"]])
    else:
        text = json.dumps({"reason": f"paid {role}"})
    if asked.body.get("stream"):
        return messages.streamed(messages.events(text))
    return messages.said(text)


STREAMED = ("propose", "reflect")
LONG = STREAM_ABOVE + 1


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
            system=role,
            messages=(Message(role="user", content=json.dumps(question)),),
            answer_schema={"type": "object"},
            answer_name=role,
            max_tokens=LONG if role in STREAMED else 1_000,
        )
        said = json.loads(self._paid.ask(step, role, ask).text)
        self._paid.parsed(step, role, ask)
        return said
