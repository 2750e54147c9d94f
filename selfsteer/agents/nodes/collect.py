"""Sample the student on both sides of the contrast and keep the pairs that the judge confirms.

Source of the recipe: persona vectors (Chen et al., 2025): answers under positive and negative
instructions, kept only where a judge finds the trait on one side and not on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, cycle, islice, product
from random import Random

from selfsteer.agents.budget import keeping_account
from selfsteer.agents.context import Context, last_user_turn
from selfsteer.agents.room import afford, confirmation_replies
from selfsteer.agents.state import LoopState, occasion
from selfsteer.agents.types import MIN_PAIRS, ContrastiveSpec, Failure, Sample
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.generate import Generation, generate
from selfsteer.steering.prompts import Example, Prompt

SHOWN = 4  # of the samples of a side that are turned down
SIDES = ("positive", "negative")


def collect(state: LoopState, context: Context) -> LoopState:
    """Make the round's dataset, or leave `dataset_id` empty when too few pairs are confirmed."""
    number = state["round"]
    if state["dataset_id"] is not None:
        kept = len(context.memory.get_dataset(state["dataset_id"]).pairs)
        return {"pairs": {"kept": kept, "sampled": kept}}
    spec = ContrastiveSpec.model_validate(state["spec"])
    count = afford(
        state,
        context,
        spec.samples,
        each=len(SIDES),
        beside=confirmation_replies(context),
        least=MIN_PAIRS,
    )
    replies = {side: _replies(context, spec, side, number, count) for side in SIDES}
    spent = {
        "generated_tokens": sum(len(reply.ids) for _, reply in chain(*replies.values())),
        "replies": len(SIDES) * count,
    }
    with keeping_account(spent):
        (positives, turned_down), (negatives, strays) = (
            _confirmed(context, side, replies[side]) for side in SIDES
        )
    found = _pair(positives, negatives)
    pairs = [*_earlier(state, context, spec), *found]
    dataset_id = None
    if len(found) >= MIN_PAIRS:
        dataset = ContrastiveDataset(concept=context.goal.text, pairs=tuple(pairs))
        dataset_id = context.memory.put_dataset(dataset)
    counts = {"kept": len(found), "sampled": count}
    context.emit(
        "collected",
        f"collect/{occasion(state, number)}",
        {
            "round": number,
            "pairs": len(pairs),
            "sampled": count,
            "positive_kept": len(positives),
            "negative_kept": len(negatives),
            "dataset": dataset_id,
        },
    )
    return {
        "dataset_id": dataset_id,
        "pairs": counts,
        "turned_down": [failure.model_dump() for failure in turned_down[:SHOWN]],
        "strays": [failure.model_dump() for failure in strays[:SHOWN]],
        "spent": spent,
        # Without pairs for a part the round is over, and what follows is about the whole goal.
        **({"part": None} if dataset_id is None else {}),
    }


def _earlier(state: LoopState, context: Context, spec: ContrastiveSpec) -> list[ContrastivePair]:
    """The pairs of the round before, where it asked for the same thing in the same words.

    More of the same is there to make the vector less noisy, so nothing confirmed is thrown away.
    """
    history = state.get("history", [])
    if not history or state.get("parts") or tuple(history[-1]["positive"]) != spec.positive:
        return []
    dataset_id = context.memory.runs.rounds(context.run_id)[-1].dataset_id
    return [] if dataset_id is None else list(context.memory.get_dataset(dataset_id).pairs)


def _replies(
    context: Context, spec: ContrastiveSpec, side: str, number: int, count: int
) -> list[tuple[Prompt, Generation]]:
    """What the student answers on one side of the contrast."""
    prompts = _prompts(context, getattr(spec, side), count)
    replies = generate(
        context.student,
        prompts,
        max_new_tokens=context.settings.max_new_tokens,
        temperature=context.settings.temperature,
        seed=context.seed("collect", number, side),
    )
    return list(zip(prompts, replies, strict=True))


def _confirmed(
    context: Context, side: str, replies: Sequence[tuple[Prompt, Generation]]
) -> tuple[list[Example], list[Failure]]:
    """The whole answers of one side that the judge finds where they belong, and the others."""
    examples = [
        Example(prompt=prompt, completion=reply.text)
        for prompt, reply in replies
        if reply.finished and reply.text.strip()
    ]
    if not context.controller.confirms_pairs():
        return examples, []
    samples = [Sample(prompt=last_user_turn(e.prompt), reply=e.completion) for e in examples]
    verdicts = context.controller.judge(context.goal, samples)
    confirmed: list[Example] = []
    others: list[Failure] = []
    for example, sample, verdict in zip(examples, samples, verdicts, strict=True):
        if (verdict.score >= 0.5) == (side == "positive"):
            confirmed.append(example)
        else:
            others.append(Failure(**sample.model_dump(), score=verdict.score))
    return confirmed, others


def _prompts(context: Context, instructions: tuple[str, ...], count: int) -> list[Prompt]:
    """Probes of the extraction split under every instruction in turn; "" is no instruction."""
    combined = list(product(context.probes.extraction, instructions))
    Random(context.seed("extraction-order")).shuffle(combined)
    return [
        prompt.with_system(instruction) if instruction else prompt
        for prompt, instruction in islice(cycle(combined), count)
    ]


def _pair(positives: list[Example], negatives: list[Example]) -> list[ContrastivePair]:
    """Answers to the same question side by side as far as possible, then whatever is left."""
    by_question: dict[str, list[Example]] = {}
    for negative in negatives:
        by_question.setdefault(last_user_turn(negative.prompt), []).append(negative)
    pairs: list[ContrastivePair] = []
    waiting: list[Example] = []
    for positive in positives:
        same = by_question.get(last_user_turn(positive.prompt))
        if same:
            pairs.append(ContrastivePair(positive=positive, negative=same.pop()))
        else:
            waiting.append(positive)
    left = [negative for rest in by_question.values() for negative in rest]
    pairs += [ContrastivePair(positive=p, negative=n) for p, n in zip(waiting, left, strict=False)]
    return pairs
