"""Sample the student on both sides of the contrast and keep the pairs that the judge confirms.

Source of the recipe: persona vectors (Chen et al., 2025): answers under positive and negative
instructions, kept only where a judge finds the trait on one side and not on the other.
"""

from __future__ import annotations

from itertools import cycle, islice, product
from random import Random

from selfsteer.agents.context import Context, last_user_turn
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import ContrastiveSpec, Sample
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.generate import generate
from selfsteer.steering.prompts import Example, Prompt

MIN_PAIRS = 8


def collect(state: LoopState, context: Context) -> LoopState:
    """Make the round's dataset, or leave `dataset_id` empty when too few pairs are confirmed."""
    number = state["round"]
    if state["dataset_id"] is not None:
        kept = len(context.memory.get_dataset(state["dataset_id"]).pairs)
        return {"pairs": {"kept": kept, "sampled": kept}}
    spec = ContrastiveSpec.model_validate(state["spec"])
    positives, used_positive = _side(context, spec, positive=True, number=number)
    negatives, used_negative = _side(context, spec, positive=False, number=number)
    pairs = _pair(positives, negatives)
    dataset_id = None
    if len(pairs) >= MIN_PAIRS:
        dataset = ContrastiveDataset(concept=context.goal.text, pairs=tuple(pairs))
        dataset_id = context.memory.put_dataset(dataset)
    counts = {"kept": len(pairs), "sampled": spec.samples}
    context.emit(
        "collected",
        f"collect/{number}",
        {
            "round": number,
            "pairs": len(pairs),
            "sampled": spec.samples,
            "positive_kept": len(positives),
            "negative_kept": len(negatives),
            "dataset": dataset_id,
        },
    )
    return {
        "dataset_id": dataset_id,
        "pairs": counts,
        "spent": {"generated_tokens": used_positive + used_negative},
    }


def _side(
    context: Context, spec: ContrastiveSpec, *, positive: bool, number: int
) -> tuple[list[Example], int]:
    """Confirmed examples of one side, and the tokens that were generated for them."""
    side = "positive" if positive else "negative"
    prompts = _prompts(context, spec.positive if positive else spec.negative, spec.samples)
    replies = generate(
        context.student,
        prompts,
        max_new_tokens=context.settings.max_new_tokens,
        temperature=context.settings.temperature,
        seed=context.seed("collect", number, side),
    )
    examples = [
        Example(prompt=prompt, completion=reply.text)
        for prompt, reply in zip(prompts, replies, strict=True)
        if reply.finished and reply.text.strip()
    ]
    tokens = sum(len(reply.ids) for reply in replies)
    if not context.controller.confirms_pairs():
        return examples, tokens
    samples = [Sample(prompt=last_user_turn(e.prompt), reply=e.completion) for e in examples]
    verdicts = context.controller.judge(context.goal, samples)
    return [
        example
        for example, verdict in zip(examples, verdicts, strict=True)
        if (verdict.score >= 0.5) == positive
    ], tokens


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
