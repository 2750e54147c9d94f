"""`make bench`: what capturing, steering and searching cost, as ratios of interleaved runs.

The student is Pocket; threads are fixed. Each row compares two ways to the same result.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from benchmarks.bars import Bar, publish
from benchmarks.interleave import interleaved
from selfsteer.agents.probes import open_prompts
from selfsteer.steering.capture import capture
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector

THREADS = 2
TEXTS = 256
LAYERS, STRENGTHS = range(6), (0.1, 0.2, 0.3, 0.4)


def main() -> int:
    """Measure and publish; returns the exit code."""
    torch.set_num_threads(THREADS)
    student = Student.load("pocket")
    examples = _examples(student)
    vector = _vector(student, examples)
    bars = [
        *capturing(student, examples),
        *steering(student, vector),
        searching(student, vector),
    ]
    return publish("bench", bars)


def _examples(student: Student) -> list[Example]:
    asked = [Prompt.chat(text) for text in open_prompts()] * 2
    replies = generate(student, asked[:TEXTS], max_new_tokens=64, seed=0)
    return [
        Example(prompt=p, completion=r.text) for p, r in zip(asked, replies, strict=False) if r.text
    ]


def _vector(student: Student, examples: list[Example]) -> SteeringVector:
    half = len(examples) // 2
    pairs = tuple(
        ContrastivePair(positive=p, negative=n)
        for p, n in zip(examples[:half], examples[half : 2 * half], strict=True)
    )
    return extract_vector(student, ContrastiveDataset(concept="benchmark", pairs=pairs))


def capturing(student: Student, examples: list[Example]) -> list[Bar]:
    """Against one padded forward a batch of 32 with every hidden state kept, as others do it."""

    def hidden_states() -> list[Tensor]:
        kept = []
        for start in range(0, len(examples), 32):
            texts = [_text(student, example) for example in examples[start : start + 32]]
            batch = student.tokenizer(
                texts, return_tensors="pt", padding=True, add_special_tokens=False
            )
            with torch.inference_mode():
                states = student.model(**batch, output_hidden_states=True).hidden_states
            kept.append(torch.stack([state[:, -1] for state in states[1:]]))
        return kept

    middle = student.n_layers // 2
    one = interleaved(hidden_states, lambda: capture(student, examples, layers=[middle]))
    every = interleaved(hidden_states, lambda: capture(student, examples))
    return [
        Bar("capture, one middle layer: times faster", one.value, 1.5, note=str(one)),
        Bar("capture, all layers: times faster", every.value, 1.0, note=str(every)),
    ]


def _text(student: Student, example: Example) -> str:
    turns = [{"role": m.role, "content": m.content} for m in example.prompt.messages]
    turns.append({"role": "assistant", "content": example.completion})
    return str(student.tokenizer.apply_chat_template(turns, tokenize=False))


def steering(student: Student, vector: SteeringVector) -> list[Bar]:
    """Steered generation against unsteered, one layer and all layers."""
    asked = [Prompt.chat(text) for text in open_prompts()[:32]]

    def run(plan: Plan) -> object:
        # Greedy, and a strength too small to change a token: both sides do the same work.
        return generate(student, asked, plan, max_new_tokens=40, temperature=0)

    one = Plan.single(vector, 3, 1e-6)
    every = Plan(tuple(Plan.single(vector, layer, 1e-6).edits[0] for layer in LAYERS))
    rows = []
    for name, plan in (("one layer", one), ("all layers", every)):
        ratio = interleaved(lambda plan=plan: run(plan), lambda: run(Plan.none()))  # type: ignore[misc]
        rows.append(
            Bar(
                f"steered over unsteered, {name}",
                ratio.value,
                1.10,
                at_least=False,
                note=str(ratio),
            )
        )
    return rows


def searching(student: Student, vector: SteeringVector) -> Bar:
    """24 candidates x 16 prompts x 40 tokens: one call against a call for each candidate."""
    asked = [Prompt.chat(text) for text in open_prompts()[:16]]
    plans = [Plan.single(vector, layer, s) for layer in LAYERS for s in STRENGTHS]

    def loop() -> None:
        for plan in plans:
            generate(student, asked, plan, max_new_tokens=40, seed=0)

    def batch() -> None:
        rows = [plan for plan in plans for _ in asked]
        generate(student, asked * len(plans), rows, max_new_tokens=40, seed=0)

    ratio = interleaved(loop, batch)
    return Bar("24 candidates in one call: times faster", ratio.value, 3.0, note=str(ratio))


if __name__ == "__main__":
    sys.exit(main())
