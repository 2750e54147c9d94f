"""What the nodes work with and a checkpoint cannot hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfsteer.agents.controller import Controller
from selfsteer.agents.events import record_event
from selfsteer.agents.probes import ProbeSplits, deal_questions
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.sites import SITES
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import CandidateSpec, Goal, Question, Sample
from selfsteer.memory.store import Memory
from selfsteer.steering.evaluate import Judged
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector

Listener = Callable[[str, Mapping[str, Any]], None]


@dataclass
class Context:
    """The live side of one run.

    Attributes:
        run_id: the run in memory.
        settings: what was asked for.
        student, memory, controller: the parties.
        probes: prompts, by split.
        capability: questions whose right answers are known; empty where there are none.
        listener: told of every event as it is recorded.
        goal: what is asked for, with the rubric that the judge goes by.
    """

    run_id: str
    settings: RunSettings
    student: Student
    memory: Memory
    controller: Controller
    probes: ProbeSplits
    capability: Sequence[CapabilityItem]
    listener: Listener
    goal: Goal = field(init=False)
    _learned: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.goal = self.settings.goal

    def follow(self, state: LoopState) -> None:
        """Take up what a proposal said of the questions and the rubric; every node begins so."""
        if questions := state.get("questions"):
            asked = [Question.model_validate(row) for row in questions]
            self.probes = deal_questions(asked, self.settings.seed)
        rubric = self.settings.goal.rubric or state.get("spec", {}).get("rubric", "")
        self.goal = self.settings.goal.model_copy(update={"rubric": rubric})

    def emit(self, kind: str, key: str, payload: Mapping[str, Any]) -> None:
        """Record an event, and tell of it, once, however often its node runs again."""
        if record_event(self.memory, self.run_id, kind, payload, key=key):
            self.listener(kind, payload)

    def seed(self, *labels: str | int) -> int:
        """A seed for one purpose: the same in a resumed run, another for every purpose."""
        text = "/".join(map(str, (self.settings.seed, self.goal.text, *labels)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

    def instructed(self, prompt: Prompt) -> Prompt:
        """The prompt with the goal as its system message: the prompt-only baseline."""
        return prompt.with_system(self.goal.text)

    def vector(self, vector_id: str) -> SteeringVector:
        """A vector from memory, of this student."""
        vector = self.memory.get_vector(vector_id)
        vector.check_student(self.student)
        return vector

    def plans(self, specs: Sequence[CandidateSpec], vector_ids: Mapping[str, str]) -> list[Plan]:
        """The plans of candidates, each with the vector of its site."""
        vectors = {site: self.vector(vector_id) for site, vector_id in vector_ids.items()}
        return [plan_of(vectors[spec.site], spec) for spec in specs]

    def holds_dataset(self, dataset_id: str | None) -> bool:
        """Whether memory has it: bred and imported vectors may have no pairs, or leave them."""
        return any(kept.id == dataset_id for kept in self.memory.artefacts("dataset"))

    def prepare_judge(self, dataset_id: str | None) -> None:
        """Let the controller learn from the pairs behind a vector, once a process."""
        if dataset_id != self._learned and self.holds_dataset(dataset_id):
            assert dataset_id is not None
            self.controller.learn(self.goal, self.memory.get_dataset(dataset_id))
            self._learned = dataset_id

    def judge(self, judged: Sequence[Judged]) -> list[float]:
        """The controller's scores, in the form that `evaluate` asks for."""
        samples = [Sample(prompt=last_user_turn(j.prompt), reply=j.reply) for j in judged]
        return [verdict.score for verdict in self.controller.judge(self.goal, samples)]


def plan_of(vector: SteeringVector, spec: CandidateSpec) -> Plan:
    """The plan that a candidate stands for."""
    return Plan.single(vector, spec.layer, spec.strength, spec.operator, SITES[spec.site].steer)


def last_user_turn(prompt: Prompt) -> str:
    """What the student was asked, without system messages."""
    if prompt.text is not None:
        return prompt.text
    return next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
