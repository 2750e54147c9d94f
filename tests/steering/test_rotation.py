"""Rotary factors that a model sets by the longest row of a forward: no row gets another's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from selfsteer.errors import StudentError
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.encoding import encode
from selfsteer.steering.generate import generate
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs, option_logprobs
from tests.steering.families import altered_student, family_student
from tests.steering.students import build_vector, reference_logits

SHORT = 32  # tokens up to which the short factors hold
ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0, 6.0, 8.0, 16.0],
    "original_max_position_embeddings": SHORT,
    "factor": 8.0,
}
# Prompts and rows on both sides, rows that come to the other side, and common starts of each kind.
PROMPTS = [Prompt.raw("ab" * n) for n in (1, 6, 15, 18, 10, 14)]
EXAMPLES = [
    *(Example(prompt=prompt, completion="no" * (2 + i % 3)) for i, prompt in enumerate(PROMPTS)),
    *(Example(prompt=Prompt.raw("q" * 20), completion=c * n) for c, n in (("x", 4), ("y", 20))),
    *(Example(prompt=Prompt.raw("q" * 34), completion=c * n) for c, n in (("u", 4), ("v", 6))),
    *(Example(prompt=Prompt.raw("z" * 18), completion=c * n) for c, n in (("u", 4), ("v", 6))),
]
STEPS = 12


@pytest.fixture(scope="module", params=["phi3", "llama"])
def student(request: pytest.FixtureRequest) -> Student:
    own: dict[str, Any] = {"original_max_position_embeddings": SHORT}
    own = own if request.param == "phi3" else {}
    return altered_student(request.param, rope_parameters=dict(ROPE), **own)


def plans_for(student: Student) -> list[Plan]:
    return [Plan.none(), Plan.single(build_vector(student), 1, 0.5)]


def test_the_factors_matter(student: Student) -> None:
    """Guards the tests below."""
    ids = torch.tensor([encode(student, PROMPTS[1]).ids])
    beside = torch.nn.functional.pad(ids, (0, SHORT))
    with torch.no_grad():
        alone, moved = (student.model(i, use_cache=False).logits for i in (ids, beside))
    assert (alone - moved[:, : ids.shape[1]]).abs().max() > 0.1


def test_scores_and_activations_are_those_of_a_row_alone(student: Student) -> None:
    for plan in plans_for(student):
        found = completion_logprobs(student, EXAMPLES, plan)
        for values, example in zip(found, EXAMPLES, strict=True):
            row = encode(student, example)
            logprobs = torch.log_softmax(reference_logits(student, row, plan), -1)
            reply = torch.tensor(row.ids[row.prompt_length :])[:, None]
            expected = logprobs[row.prompt_length - 1 : -1].gather(1, reply)[:, 0]
            torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)
    read = capture_tokens(student, EXAMPLES, (0, 2), "all")
    for values, example in zip(read, EXAMPLES, strict=True):
        (expected,) = capture_tokens(student, [example], (0, 2), "all")
        torch.testing.assert_close(values, expected, atol=1e-4, rtol=0)


def test_options_and_replies_do_not_depend_on_their_batch(student: Student) -> None:
    for plan in plans_for(student):
        found = option_logprobs(student, PROMPTS, ["no", "yes"], plan)
        replies = generate(student, PROMPTS, plan, max_new_tokens=STEPS, temperature=0)
        for prompt, scores, reply in zip(PROMPTS, found, replies, strict=True):
            (alone,) = option_logprobs(student, [prompt], ["no", "yes"], plan)
            torch.testing.assert_close(scores, alone, atol=1e-4, rtol=0)
            assert [reply] == generate(student, [prompt], plan, max_new_tokens=STEPS, temperature=0)


def test_replies_are_those_of_transformers(student: Student) -> None:
    options: dict[str, Any] = {"max_new_tokens": STEPS, "do_sample": False}
    model: Any = student.model
    for prompt, reply in zip(
        PROMPTS, steered_generate_hf(student, PROMPTS, **options), strict=True
    ):
        row = torch.tensor([encode(student, prompt).ids])
        (ids,) = model.generate(row, attention_mask=torch.ones_like(row), pad_token_id=0, **options)
        assert ids[row.shape[1] :].tolist()[: len(reply.ids)] == reply.ids


def test_steered_replies_are_those_of_our_loop(student: Student) -> None:
    """Phi-3 reads a row anew where other factors begin, which cannot be steered."""
    plan, prompts = plans_for(student)[1], PROMPTS
    options: dict[str, Any] = {"max_new_tokens": STEPS, "do_sample": False}
    if student.name == "tiny-phi3":
        with pytest.raises(StudentError, match="reads its prompt once more"):
            steered_generate_hf(student, prompts, plan, **options)
        prompts = [p for p in PROMPTS if student.rotation(len(encode(student, p).ids), STEPS) <= 0]
    ours = generate(student, prompts, plan, max_new_tokens=STEPS, temperature=0)
    assert steered_generate_hf(student, prompts, plan, **options) == ours


def test_factors_that_follow_the_length_hold_throughout_the_context() -> None:
    """`dynamic` scales beyond the context only, where nothing is read."""
    rope = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
    student = altered_student("llama", rope_parameters=rope, max_position_embeddings=40)
    examples = [e for e in EXAMPLES if len(encode(student, e).ids) <= 40]
    found = completion_logprobs(student, examples)
    generate(student, PROMPTS, max_new_tokens=STEPS)
    again = completion_logprobs(student, examples)
    for values, others, example in zip(found, again, examples, strict=True):
        (alone,) = completion_logprobs(student, [example])
        torch.testing.assert_close(values, alone, atol=1e-4, rtol=0)
        assert torch.equal(values, others)


def test_what_rows_must_agree_in(student: Student) -> None:
    kinds = [student.rotation(n, 4) for n in (1, SHORT - 4, SHORT - 3, SHORT, SHORT + 1)]
    assert kinds == [0, 0, SHORT - 3, SHORT, -1]
    assert family_student("phi3").rotation(10**6) == 0
