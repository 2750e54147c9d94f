"""Choose what to evaluate next: a coarse grid, then TPE, then closer looks at the best.

A search with the vectors of the round before goes on from what is known of them: its grid covers
new ground only, and TPE learns from the earlier results too. The looks halve in number and grow in
probes (successive halving: Jamieson and Talwalkar, 2016). Where none of the last ones will do, the
best get one more look at doses between those before; where they will do by little, at the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from selfsteer.agents.context import Context
from selfsteer.agents.leading import leading, likeliest
from selfsteer.agents.optimise import (
    DOSES_BETWEEN,
    beside,
    first_batch,
    going_on,
    new_ground,
    next_batch,
    within,
)
from selfsteer.agents.policy import best_first
from selfsteer.agents.room import afford, confirmation_replies
from selfsteer.agents.stages import confirming, last_look_after, stage_probes, stage_samples
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import (
    CandidateResult,
    CandidateSpec,
    RoundSummary,
    SearchSpace,
    SiteEvidence,
)
from selfsteer.errors import ControllerError

OF_ONE_PLACE = 2  # finalists


def plan_search(state: LoopState, context: Context) -> LoopState:
    """The next batch of candidates, and the stage it belongs to; never more than the budget has.

    Raises:
        OutOfBudget: there is no room for a single one, and a confirmation after it.
    """
    update = _next(state, context)
    stage = update.get("stage", state["stage"])
    asked = len(stage_probes(stage, context)) * stage_samples(stage, context)
    room = afford(
        state,
        context,
        len(update["pending"]),
        each=asked,
        beside=asked + confirmation_replies(context),
        candidates=True,
    )
    return {**update, "pending": update["pending"][:room]}


def _next(state: LoopState, context: Context) -> LoopState:
    number = state["round"]
    if not state["space"]:
        return _open(state, context)
    space = SearchSpace.model_validate(state["space"])
    results = [CandidateResult.model_validate(row) for row in state["results"]]
    earlier = _earlier(space, state)
    left = space.trials - len(results)
    if left > 0:
        batch = next_batch(
            space,
            [*earlier, *results],
            context.goal.thresholds,
            count=min(left, context.settings.effort.trials_per_batch),
            seed=context.seed("tpe", number, len(results)),
        )
        if batch:
            return {"pending": _dump(batch)}
    return _closer_look(space, state, context)


def _earlier(space: SearchSpace, state: LoopState) -> list[CandidateResult]:
    """What earlier rounds found of the same vectors in this space."""
    rows = state.get("earlier", [])
    return within(space, [CandidateResult.model_validate(row) for row in rows])


def _closer_look(space: SearchSpace, state: LoopState, context: Context) -> LoopState:
    """After the search the best of it with doses beside theirs; after those, the best of them.

    What led before is looked at beside them, so that a further round with the same vectors ends
    with what is best of both.
    """
    effort = context.settings.effort
    if state["stage"] == "search":
        best = _best(state["results"], effort.refined, context)
        led = leading(_earlier(space, state), context.goal.thresholds, 1)
        best += [result.spec() for result in led if result.spec() not in best]
        return {"stage": "refine", "pending": _dump(beside(space, going_on(space, best)))}
    if state["stage"] == "refine":
        best = _best(state["refined"], effort.finalists, context, of_one_place=OF_ONE_PLACE)
        return {"stage": "finalists", "pending": _dump(best)}
    finalists = [CandidateResult.model_validate(row) for row in state["finalists"]]
    ranked = likeliest(finalists, context.goal.thresholds, confirming(context))
    if last_look_after(state["stage"], ranked[0], context) == "polish":
        known = {result.spec() for result in finalists}
        best = beside(space, _best(state["finalists"], effort.polished, context), DOSES_BETWEEN)
        # At the end of a range there is no dose beyond, and in a range of one none at all.
        if between := [spec for spec in best if spec not in known]:
            return {"stage": "polish", "pending": _dump(between)}
    again = [result.spec() for result in ranked[: max(1, effort.rechecked)]]
    return {"stage": "recheck", "pending": _dump(again)}


def _best(
    rows: Sequence[object], count: int, context: Context, of_one_place: int | None = None
) -> list[CandidateSpec]:
    """The best candidates, not more than `of_one_place` of one site and layer among them."""
    results = [CandidateResult.model_validate(row) for row in rows]
    taken: Counter[tuple[str, int]] = Counter()
    best: list[CandidateSpec] = []
    for result in best_first(results, context.goal.thresholds):
        place = (result.site, result.layer)
        if of_one_place is None or taken[place] < of_one_place:
            taken[place] += 1
            best.append(result.spec())
    return best[:count]


def _open(state: LoopState, context: Context) -> LoopState:
    number = state["round"]
    evidence = [SiteEvidence.model_validate(row) for row in state["evidence"]]
    history = [RoundSummary.model_validate(row) for row in state["history"]]
    space = context.controller.choose(context.goal, evidence, history)
    _check(space, evidence, context)
    if context.settings.strengths is not None:
        narrowed = bool(history) and _decided(history[-1]) == "narrow"
        space = _bounded(space, context.settings.strengths, narrowed=narrowed)
    context.emit(
        "search_space", f"space/{number}", {"round": number, **space.model_dump(mode="json")}
    )
    chosen: LoopState = {"space": space.model_dump(mode="json")}
    earlier = _earlier(space, state)
    if not earlier:
        return {**chosen, "pending": _dump(first_batch(space))}
    if batch := new_ground(space, earlier):
        return {**chosen, "pending": _dump(batch)}
    return {**chosen, **_next({**state, **chosen}, context)}


def _decided(row: RoundSummary) -> str | None:
    return None if row.decision is None else row.decision.action


def _bounded(space: SearchSpace, bounds: tuple[float, float], *, narrowed: bool) -> SearchSpace:
    """The person's strengths instead of the controller's; of a narrowed space, what is in both."""
    low, high = bounds
    if narrowed and space.low <= high and space.high >= low:
        low, high = max(low, space.low), min(high, space.high)
    return space.model_copy(update={"low": low, "high": high})


def _check(space: SearchSpace, evidence: Sequence[SiteEvidence], context: Context) -> None:
    """Refuse a space in which there is nothing to steer with."""
    for word, asked, known in (
        ("site", space.sites, {row.site for row in evidence}),
        ("layer", space.layers, {row.layer for row in evidence}),
    ):
        strange = [str(value) for value in asked if value not in known]
        if strange:
            raise ControllerError(
                f"Controller {context.controller.name} wants to search {word} {strange[0]}; this "
                f"round has vectors for {', '.join(map(str, sorted(known)))}."
            )


def _dump(specs: list[CandidateSpec]) -> list[dict[str, object]]:
    return [spec.model_dump() for spec in specs]
