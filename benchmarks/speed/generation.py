"""Steered generation: against none, against other plans, against a loop, against the peers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.bars import Bar
from benchmarks.interleave import Ratio, interleaved, interleaved_seconds, stopwatch
from benchmarks.speed.workers import Worker
from benchmarks.speed.world import MIDDLE, prompts
from selfsteer.agents.probes import open_prompts
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector

TOKENS = 40
ROWS = (1, 8, 32)
FAINT = 1e-6  # too weak to change a token: all arms do the same work
STRENGTHS = (0.1, 0.2, 0.3, 0.4)


def unit_vector(student: Student, number: int = 0) -> SteeringVector:
    """A random direction for every layer."""
    draw = torch.Generator().manual_seed(number)
    layers = range(student.n_layers)
    return SteeringVector(
        directions={k: torch.randn(student.d_model, generator=draw) for k in layers},
        residual_norms=dict.fromkeys(layers, 1.0),
        method="random",
        selector="all",
        concept=f"benchmark {number}",
        dataset_id="0" * 16,
        student_fingerprint=student.fingerprint,
    )


def against_transformers(student: Student) -> Iterator[Bar]:
    """Steered, against transformers' own unsteered `generate` on the same prompts."""
    for name, plan in plans_of(student).items():
        for count in ROWS:
            ratio = interleaved(
                lambda plan=plan, count=count: ours(student, plan, count),  # type: ignore[misc]
                lambda count=count: unsteered(student, count),  # type: ignore[misc]
                patience=30,
            )
            label = f"steered over transformers' unsteered, {name}, B = {count}"
            yield Bar(label, ratio.value, 1.03, at_least=False, note=str(ratio))


def against_equal_plans(student: Student) -> Bar:
    """32 rows with 32 plans, against 32 rows with one."""
    count = 32
    vectors = [unit_vector(student, number) for number in range(count)]
    several = [
        Plan.single(vector, number % student.n_layers, FAINT * (1 + number))
        for number, vector in enumerate(vectors)
    ]
    one = Plan.single(vectors[0], MIDDLE % student.n_layers, FAINT)
    ratio = interleaved(
        lambda: ours(student, several, count), lambda: ours(student, [one] * count, count)
    )
    return Bar(
        "32 plans over 32 equal ones, B = 32", ratio.value, 1.05, at_least=False, note=str(ratio)
    )


def against_a_loop(student: Student, name: str, limit: float) -> Bar:
    """24 candidates on 16 prompts in one call, against a call for each candidate."""
    vector = unit_vector(student)
    layers = [i * student.n_layers // 6 for i in range(6)]
    plans = [Plan.single(vector, layer, s) for layer in layers for s in STRENGTHS]
    asked = [Prompt.chat(text) for text in open_prompts()[:16]]
    if student.chat is None:
        asked = [Prompt.raw(text) for text in prompts(16)]

    def loop() -> None:
        for plan in plans:
            generate(student, asked, plan, max_new_tokens=TOKENS, seed=0)

    def once() -> None:
        each = [plan for plan in plans for _ in asked]
        generate(student, asked * len(plans), each, max_new_tokens=TOKENS, seed=0)

    ratio = interleaved(loop, once)
    return Bar(
        f"24 candidates in one call, {name}: times faster", ratio.value, limit, note=str(ratio)
    )


def against_peers(student: Student, workers: Sequence[Worker]) -> Iterator[Bar]:
    """Steered `generate`, against that of the fastest peer."""
    for name, plan in plans_of(student).items():
        where = list(plan.edits[0].layers)
        for count in ROWS:
            ratios: list[tuple[Ratio, str]] = []
            for worker in workers:
                ratio = interleaved_seconds(
                    lambda worker=worker, count=count, where=where: worker.seconds(  # type: ignore[misc]
                        "generate", rows=count, tokens=TOKENS, where=where
                    ),
                    stopwatch(lambda plan=plan, count=count: ours(student, plan, count)),  # type: ignore[misc]
                    patience=15,
                )
                ratios.append((ratio, worker.name))
            ratio, peer = min(ratios, key=lambda pair: pair[0].value)
            label = f"steered generate, {name}, B = {count}: times faster"
            yield Bar(label, ratio.value, 1.0, note=f"{peer}; {ratio}")


def plans_of(student: Student) -> dict[str, Plan]:
    """One layer, and all layers."""
    vector = unit_vector(student)
    return {
        "one layer": Plan.single(vector, MIDDLE, FAINT),
        "all layers": Plan((Edit(vector, tuple(range(student.n_layers)), FAINT),)),
    }


def ours(student: Student, plans: Plan | Sequence[Plan], count: int) -> None:
    """Greedy replies of fixed length."""
    asked = [Prompt.raw(text) for text in prompts(count)]
    generate(student, asked, plans, max_new_tokens=TOKENS, temperature=0)


def unsteered(student: Student, count: int) -> None:
    """The same by transformers alone, on the untouched model."""
    tokenizer, model = student.tokenizer, student.model
    batch = tokenizer(prompts(count), return_tensors="pt", padding=True)
    with torch.inference_mode():
        generated: Any = model
        ids = generated.generate(
            batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
    tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :])
