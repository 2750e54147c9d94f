"""What a run asks a person, and what the person answers: both are events of the run.

The answer is on record before the run goes on, so that a run which is killed there finds it again.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from selfsteer.agents.sites import SITES, sites_of
from selfsteer.agents.steps import Step
from selfsteer.agents.types import MIN_PAIRS, CandidateResult, CandidateSpec, Record, Text
from selfsteer.errors import ControllerError, DatasetError, MemoryFileError
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.plan import Edit

What = Literal["data", "plan"]
ASKED, ANSWERED = "waiting", "answered"
MIN_GIVEN = 2  # pairs that the run did not sample itself: one is held out from the other


class Asked(Record):
    """What a run waits for.

    Attributes:
        occasion: names the question within the run.
        what: the kind of thing that is to be approved.
        dataset: id of the pairs that are to be learned from.
        candidate: the plan that is to be confirmed.
        edits: the same, where it steers in more than one way.
        measured: what is known of it from development probes; None for a remembered plan.
        vectors: ids of the vectors that a plan may use, by site.
        reason: why it was chosen.
    """

    occasion: str
    what: What
    dataset: str | None = None
    candidate: CandidateSpec | None = None
    edits: list[Step] = Field(default=[])
    measured: CandidateResult | None = None
    vectors: dict[str, str] = Field(default={})
    reason: str = ""


class Answer(Record):
    """What a person says to it.

    Attributes:
        occasion: of the question.
        answer: accepted as it is, replaced, or refused, which ends the run.
        dataset, candidate: what replaces it.
        reason: why it was refused.
    """

    occasion: str
    answer: Literal["accept", "edit", "refuse"]
    dataset: str | None = None
    candidate: CandidateSpec | None = None
    reason: str = ""


def question_of(memory: Memory, run_id: str) -> Asked:
    """What a run waits for.

    Raises:
        MemoryFileError: no such run, or one that waits for nothing.
    """
    run = memory.runs.get(run_id)
    asked = [event for event in memory.runs.events(run_id) if event.kind == ASKED]
    if run.status != "waiting" or not asked:
        raise MemoryFileError(f"Run {run_id} waits for no approval; it is {run.status}.")
    return Asked.model_validate(asked[-1].payload)


def answer_to(memory: Memory, run_id: str, occasion: str) -> Answer | None:
    """What was answered; None while there is no answer."""
    for event in memory.runs.events(run_id):
        if event.kind == ANSWERED and event.payload["occasion"] == occasion:
            return Answer.model_validate(event.payload)
    return None


def accept(memory: Memory, run_id: str) -> Answer:
    """Let a run go on with what it asked about; the first answer stays.

    Raises:
        MemoryFileError: the run waits for nothing, or was answered otherwise.
    """
    return _answer(memory, run_id, Answer(occasion=_open(memory, run_id), answer="accept"))


def refuse(memory: Memory, run_id: str, reason: Text) -> Answer:
    """Let a run end without what it asked about; errors as those of `accept`."""
    answer = Answer(occasion=_open(memory, run_id), answer="refuse", reason=reason)
    return _answer(memory, run_id, answer)


def replace_data(memory: Memory, run_id: str, dataset: ContrastiveDataset) -> Answer:
    """Let a run learn from other pairs.

    Raises:
        MemoryFileError: as `accept` does.
        ControllerError: the run asks about its plan.
        DatasetError: too few pairs, or such as cannot be read where those of the other parts of the
            goal are. Neither they nor the answer are kept then.
    """
    asked = question_of(memory, run_id)
    if asked.dataset is None:
        raise ControllerError(f"Run {run_id} asks about its plan, not about pairs.")
    _check_count(memory, run_id, asked.dataset, dataset)
    if _of_a_part(asked):
        _check_sites(memory.get_dataset(asked.dataset), dataset)
    dataset_id = memory.put_dataset(dataset)
    answer = Answer(occasion=asked.occasion, answer="edit", dataset=dataset_id)
    return _answer(memory, run_id, answer)


def replace_plan(memory: Memory, run_id: str, candidate: CandidateSpec) -> Answer:
    """Let a run confirm another plan.

    Raises:
        MemoryFileError: as `accept` does.
        ControllerError: the run has no vector for that plan, or asks about its data, or about a
            plan with edits that a candidate cannot say.
        PlanError: a strength that the operator does not take.
    """
    asked = question_of(memory, run_id)
    if asked.what != "plan":
        raise ControllerError(f"Run {run_id} asks about its data, not about a plan.")
    if asked.edits:
        raise ControllerError(
            f"Run {run_id} asks about a plan that steers in several ways at once, and a candidate "
            "says one way; accept the plan or refuse it."
        )
    vectors = asked.vectors
    if candidate.site not in vectors:
        raise ControllerError(
            f"Run {run_id} has no vector for site {candidate.site}; it has some for "
            f"{', '.join(vectors)}."
        )
    vector = memory.get_vector(vectors[candidate.site])
    layers = vector.layers
    if candidate.layer not in layers:
        raise ControllerError(
            f"The vector for site {candidate.site} has no layer {candidate.layer}; it has "
            f"{', '.join(map(str, layers))}."
        )
    steer = SITES[candidate.site].steer
    # Raises where the plan could not be made of it after the answer is on record.
    Edit(vector, (candidate.layer,), candidate.strength, candidate.operator, steer)
    answer = Answer(occasion=asked.occasion, answer="edit", candidate=candidate)
    return _answer(memory, run_id, answer)


def check_answered(memory: Memory, run_id: str) -> None:
    """Refuse to go on with a run that still waits.

    Raises:
        MemoryFileError: nobody has answered yet.
    """
    asked = question_of(memory, run_id)
    if answer_to(memory, run_id, asked.occasion) is None:
        raise MemoryFileError(
            f"Run {run_id} waits for somebody to approve its {asked.what}; `selfsteer approve` "
            "shows it."
        )


def _check_count(memory: Memory, run_id: str, shown: str, dataset: ContrastiveDataset) -> None:
    """Refuse fewer pairs than the run would go on with; ``shown`` is the id of its own."""
    events = memory.runs.events(run_id)
    sampled = any(e.kind == "collected" and e.payload["dataset"] == shown for e in events)
    least, count = MIN_PAIRS if sampled else MIN_GIVEN, len(dataset.pairs)
    if count < least:
        raise DatasetError(f"The run needs {least} pairs at least, not {count}, to learn from.")


def _of_a_part(asked: Asked) -> bool:
    """Whether pairs are those of a part of the goal: its place stands behind that of the round."""
    return asked.occasion.count("/") == 2


def _check_sites(shown: ContrastiveDataset, dataset: ContrastiveDataset) -> None:
    """Refuse pairs without a site in common with those that they replace, and so with the others:
    a plan steers with all parts at one site."""
    wanted, found = sites_of(shown), sites_of(dataset)
    if not set(wanted) & set(found):
        raise DatasetError(
            f"These pairs are read at {', '.join(found)}, but pairs of a part of the goal have to "
            f"be read at {', '.join(wanted)}, as those of the other parts are."
        )


def _open(memory: Memory, run_id: str) -> str:
    return question_of(memory, run_id).occasion


def _answer(memory: Memory, run_id: str, answer: Answer) -> Answer:
    key = f"{ANSWERED}/{answer.occasion}"
    # Of the form that `events.Answered` has, which is made from this one.
    memory.runs.add_event(run_id, ANSWERED, answer.model_dump(mode="json"), key=key)
    stored = answer_to(memory, run_id, answer.occasion)
    if stored != answer:
        said = "nothing" if stored is None else stored.answer
        raise MemoryFileError(
            f"Run {run_id} was answered before ({said}); `selfsteer resume` goes on."
        )
    return answer
