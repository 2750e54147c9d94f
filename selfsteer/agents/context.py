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
from selfsteer.agents.state import LoopState, vectors_at
from selfsteer.agents.steps import Step
from selfsteer.agents.types import CandidateSpec, Goal, Question, Sample
from selfsteer.memory.meaning import Meaning
from selfsteer.memory.store import Memory
from selfsteer.steering.evaluate import Judged
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
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
        meaning: finds remembered goals that mean the same; None leaves that to their words.
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
    meaning: Meaning | None = None
    goal: Goal = field(init=False)
    _learned: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.goal = self.settings.goal

    def follow(self, state: LoopState) -> None:
        """Take up the questions and the rubric of the proposals, and the part of the goal that
        pairs are made for, if it was split; every node begins so."""
        if questions := state.get("questions"):
            asked = [Question.model_validate(row) for row in questions]
            self.probes = deal_questions(asked, self.settings.seed)
        whole, part, said = self.settings.goal, state.get("part"), state.get("spec", {})
        if part is None:
            rubric = whole.rubric or state.get("rubric") or said.get("rubric", "")
            self.goal = whole.model_copy(update={"rubric": rubric})
        else:
            # The rubric of the whole goal does not suit its parts; each proposal brings its own.
            update = {"text": state["parts"][part], "rubric": said.get("rubric", "")}
            self.goal = whole.model_copy(update=update)

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

    def plans(self, specs: Sequence[CandidateSpec], state: LoopState) -> list[Plan]:
        """The plans of candidates, each with the vectors of its site."""
        vectors = {
            site: [self.vector(vector_id) for vector_id in vectors_at(state, site)]
            for site in {spec.site for spec in specs}
        }
        return [plan_of(vectors[spec.site], spec) for spec in specs]

    def plan(self, steps: Sequence[Step]) -> Plan:
        """The plan of steps, in their order."""
        return Plan(
            tuple(
                Edit(
                    self.vector(step.vector),
                    (step.layer,),
                    step.strength,
                    step.operator,
                    SITES[step.site].steer,
                )
                for step in steps
            )
        )

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


def plan_of(vectors: Sequence[SteeringVector], spec: CandidateSpec) -> Plan:
    """The plan that a candidate stands for: an edit with each vector, all in the same way."""
    steer = SITES[spec.site].steer
    return Plan(tuple(Edit(v, (spec.layer,), spec.strength, spec.operator, steer) for v in vectors))


def last_user_turn(prompt: Prompt) -> str:
    """What the student was asked, without system messages."""
    if prompt.text is not None:
        return prompt.text
    return next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")
