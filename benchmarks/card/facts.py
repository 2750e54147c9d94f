"""Facts in held-out wordings, greedily answered."""

from __future__ import annotations

from benchmarks.bars import Bar
from selfsteer.pocket.facts import held_out_questions
from selfsteer.steering.generate import generate
from selfsteer.steering.metrics.intervals import wilson
from selfsteer.steering.metrics.retention import CapabilityItem, is_right
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt


def facts(student: Student) -> Bar:
    """The share of right answers, in any of the three languages."""
    items = [
        CapabilityItem(question=question, answers=fact.accepted())
        for fact, _, question in held_out_questions()
    ]
    answers = generate(
        student, [Prompt.chat(item.question) for item in items], max_new_tokens=24, temperature=0
    )
    right = sum(is_right(item, answer.text) for item, answer in zip(items, answers, strict=True))
    low, high = wilson(right, len(items))
    note = f"n={len(items)} [{low:.3f}, {high:.3f}]"
    return Bar("facts right, greedy", right / len(items), 0.95, note=note)
