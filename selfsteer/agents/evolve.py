"""Evolution of vectors: generations of selection, beside random search at the same price.

A run of its own kind, in the same history: every generation is a round, every look at an individual
a candidate of it, and what was bred is in memory with its parents. A generation that is on record
is read and not bred again, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from langgraph.runtime import RunControl

from selfsteer.agents.budget import CannotGoOn
from selfsteer.agents.clock import StopAsked
from selfsteer.agents.context import Listener
from selfsteer.agents.controller import Controller
from selfsteer.agents.evolving.context import EvolveContext
from selfsteer.agents.evolving.generations import generation
from selfsteer.agents.evolving.genomes import World
from selfsteer.agents.evolving.last_looks import Champions, compare, finalists
from selfsteer.agents.evolving.looks import Groups
from selfsteer.agents.evolving.settings import EvolveSettings
from selfsteer.agents.loop import begin, check_parties, quiet, stretch
from selfsteer.agents.nodes.confirm import confirm
from selfsteer.agents.nodes.remember import remember
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.settings import settings_of
from selfsteer.agents.state import LoopState
from selfsteer.errors import ControllerError
from selfsteer.memory.export import write_events
from selfsteer.memory.records import Run, Stretch
from selfsteer.memory.runs import fresh_id
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student
from selfsteer.steering.vectors import SteeringVector


def evolve_goal(
    student: Student,
    controller: Controller,
    memory: Memory,
    settings: EvolveSettings,
    *,
    dataset: ContrastiveDataset | None = None,
    capability: Sequence[CapabilityItem] = (),
    listener: Listener = quiet,
    control: RunControl | None = None,
    run_id: str | None = None,
) -> Run:
    """Breed vectors towards a goal.

    Args:
        settings: its founders are in memory.
        dataset: what the controller learns to judge from, where it needs to; None for the one that
            all founders were extracted from.
        capability: questions that the champion's retention is measured on.
        listener: told of every event.
        control: asks the run to stop once the generation, or the look at finalists, that goes on is
            done.
        run_id: from `fresh_id`, for a controller that had to know who pays; None for a fresh one.

    Returns:
        the run as it stands in memory, with its verdict, or stopped as `control` asked.

    Raises:
        MemoryFileError: a founder is not in memory.
        VectorError: founders of another student, or that do not match.
        PopulationError: founders from which nothing can be bred.
        ControllerError: the controller judges by data only, and there is none.
        KeyboardInterrupt, CallInDoubt, ModelUnavailable: passed on after the run is marked as
            stopped; `resume_evolution` goes on.
    """
    founders = [memory.get_vector(name) for name in settings.evolution.founders]
    for founder in founders:
        founder.check_student(student)
    World.of(founders, settings.range)
    pairs = dataset or _shared(memory, founders)
    if pairs is None and not controller.confirms_pairs():
        raise ControllerError(
            f"The controller {controller.name} judges by pairs, and the founders share none that "
            "memory holds; give it a dataset."
        )
    run_id = run_id or fresh_id()
    context = _context(run_id, settings, student, controller, memory, capability, listener)
    record = partial(begin, memory, student, controller, settings, run_id)
    return _drive(record, context, pairs, control)


def resume_evolution(
    run_id: str,
    student: Student,
    controller: Controller,
    memory: Memory,
    *,
    dataset: ContrastiveDataset | None = None,
    capability: Sequence[CapabilityItem] = (),
    listener: Listener = quiet,
    control: RunControl | None = None,
) -> Run:
    """Go on with an evolution that was stopped or killed, after its last whole generation.

    Raises:
        MemoryFileError: no such run, one that ended, or one of another student or controller.
    """
    run = check_parties(memory.runs.get(run_id), student, controller)
    settings = settings_of(run, EvolveSettings)
    context = _context(run_id, settings, student, controller, memory, capability, listener)
    pairs = dataset or _shared(memory, context.world.founders)
    return _drive(partial(memory.runs.resume, run_id), context, pairs, control)


def _shared(memory: Memory, founders: Sequence[SteeringVector]) -> ContrastiveDataset | None:
    """The pairs that all founders were extracted from, where memory holds them."""
    ids = {founder.dataset_id for founder in founders}
    held = {kept.id for kept in memory.artefacts("dataset")}
    return memory.get_dataset(min(ids)) if len(ids) == 1 and ids <= held else None


def _context(
    run_id: str,
    settings: EvolveSettings,
    student: Student,
    controller: Controller,
    memory: Memory,
    capability: Sequence[CapabilityItem],
    listener: Listener,
) -> EvolveContext:
    return EvolveContext(
        run_id=run_id,
        settings=settings,
        student=student,
        memory=memory,
        controller=controller,
        probes=deal_probes(settings.seed),
        capability=capability,
        listener=listener,
    )


def _drive(
    record: Callable[[], object],
    context: EvolveContext,
    pairs: ContrastiveDataset | None,
    control: RunControl | None,
) -> Run:
    """Evolve as far as it goes, once the run is on record as running."""
    with stretch(context.memory, context.run_id) as began:
        record()
        write_events(context.memory, context.run_id)
        context.emit("started", "started", {"run": context.run_id, "goal": context.goal.text})
        try:
            if pairs is not None:
                context.controller.learn(context.goal, pairs)
            status = _evolve(context, control)
        except StopAsked:
            status = "stopped"
        write_events(context.memory, context.run_id)
        return context.memory.runs.finish(context.run_id, status, seconds=time.monotonic() - began)


def _evolve(context: EvolveContext, control: RunControl | None) -> Stretch:
    """How this stretch of the run ends."""
    generations: list[Groups] = []
    state: LoopState = {"run_id": context.run_id, "recalled": None, "shortage": None}
    for number in range(1 + context.wanted.evolution.generations):
        try:
            generations.append(generation(context, number, generations))
        except CannotGoOn as error:
            state["shortage"] = str(error)
            break
        if control is not None and control.drain_requested:
            return "stopped"
    champions: Champions = finalists(context, generations) if generations else {}
    if control is not None and control.drain_requested:
        return "stopped"
    return _conclude(context, state, champions)


def _conclude(context: EvolveContext, state: LoopState, champions: Champions) -> Stretch:
    """Confirm the champion of evolution, store the verdict, then open the report probes."""
    if champions:
        best = champions["evolved"]
        spec = best.spec(context.world.site)
        state["vector_ids"] = {spec.site: best.vector}
        state["decision"] = {"candidate": spec.model_dump()}
        try:
            with context.on_account():
                update = confirm(state, context)
                context.spent = context.spent.plus(**update.pop("spent"))
            state.update(update)
        except CannotGoOn as error:
            state["shortage"] = str(error)
    verdict = remember({**state, "spent": context.spent.model_dump()}, context)["verdict"]
    if "vector_id" in verdict:
        compare(context, champions)
    status: Stretch = verdict["status"]
    return status
