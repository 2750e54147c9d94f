"""Controllers that follow a script and pay for every step of it, and who answers them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
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


class Batches:
    """Answers as `answer`, the requests of batches too, which have always ended already.

    Attributes:
        taken: the requests of each batch, by the batch's name.
    """

    def __init__(self) -> None:
        self.taken: dict[str, list[dict[str, Any]]] = {}
        self._times: dict[str, str] = {}

    def __call__(self, asked: Asked) -> Answer:
        if "/batches" not in asked.path:
            return answer(asked)
        if asked.method == "POST":
            name = f"msgbatch_{len(self.taken)}"
            self.taken[name] = asked.body["requests"]
            self._times[name] = datetime.now(UTC).isoformat()
            return messages.batch(asked, name, "ended")
        if "?" in asked.path:
            return messages.batch_list([self._record(asked, name) for name in reversed(self.taken)])
        if not asked.path.endswith("/results"):
            return messages.batch(asked, asked.path.rpartition("/")[2], "ended")
        requests = self.taken[asked.path.split("/")[-2]]
        return messages.results((one["custom_id"], _succeeded(asked, one)) for one in requests)

    def _record(self, asked: Asked, name: str) -> dict[str, Any]:
        size, time = len(self.taken[name]), self._times[name]
        return messages.batch_record(asked, name, "ended", size, time)


def _succeeded(asked: Asked, one: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of a request of a batch."""
    said = answer(replace(asked, body=one["params"]))
    return {"type": "succeeded", "message": json.loads(said.body)}


STREAMED = ("propose", "reflect")
LONG = STREAM_ABOVE + 1
Decide = Callable[[Sequence[RoundSummary]], Decision]


class PaidScripted(Scripted):
    """What `Scripted` decides, with scores and reasons that were paid for."""

    name = "paid"

    def __init__(self, paid: PaidCalls, decide: Decide | None = None) -> None:
        super().__init__(decide)
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
        ask = question_of(role, question)
        said = json.loads(self._paid.ask(step, role, ask).text)
        self._paid.parsed(step, role, ask)
        return said


class Batching(PaidScripted):
    """Asks about every reply by itself, and hands what it will ask in together."""

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        questions = [{"replies": [sample.reply]} for sample in samples]
        self._paid.prefetch("judge", "judge", [question_of("judge", one) for one in questions])
        return [Verdict(score=self._ask("judge", "judge", one)[0]) for one in questions]


def question_of(role: str, question: Mapping[str, Any]) -> Ask:
    """A question to a role, as it goes out."""
    return Ask(
        system=role,
        messages=(Message(role="user", content=json.dumps(question)),),
        answer_schema={"type": "object"},
        answer_name=role,
        max_tokens=LONG if role in STREAMED else 1_000,
    )
