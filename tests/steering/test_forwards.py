"""Which rows are read together: what they are read with never depends on the others."""

from __future__ import annotations

import pytest
import torch

from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.encoding import encode
from selfsteer.steering.forwards import readings
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from selfsteer.steering.selectors import parse
from tests.steering.families import narrow_student

# At the end of a context of 40: a long start with short tails, a short one with long tails.
LONG = [Example(prompt=Prompt.raw("a" * 33), completion=reply) for reply in ("b", "c", "de")]
SHORT = [Example(prompt=Prompt.raw("z" * 10), completion=letter * 25) for letter in "mno"]


@pytest.mark.parametrize("family", ["gpt2", "gpt-neo", "opt", "gptj", "bloom", "mpt", "llama"])
def test_starts_of_different_lengths_at_the_end_of_the_context(family: str) -> None:
    """A tail is read at its own positions, and no key lies beyond the context."""
    student, examples = narrow_student(family, 40), [*LONG, *SHORT]
    logprobs = completion_logprobs(student, examples)
    values = capture_tokens(student, examples, (0, 2), "all")
    for example, found, read in zip(examples, logprobs, values, strict=True):
        (alone,) = completion_logprobs(student, [example])
        torch.testing.assert_close(found, alone, atol=1e-4, rtol=0)
        (expected,) = capture_tokens(student, [example], (0, 2), "all")
        scale = float(expected.abs().max())
        torch.testing.assert_close(read, expected, atol=1e-5 * scale, rtol=0)


@pytest.mark.parametrize(("context", "together"), [(40, 2), (256, 1)])
def test_starts_share_a_reading_where_the_context_has_room(context: int, together: int) -> None:
    student: Student = narrow_student("gpt2", context)
    rows = [encode(student, example) for example in (*LONG, *SHORT)]
    masks = [parse("all").mask(row) for row in rows]
    ids = [row.ids for row in rows]
    assert sum(1 for _ in readings(student, ids, masks, 1024)) == together
