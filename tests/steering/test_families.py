"""Every promised family: blocks found, read and steered exactly, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from selfsteer.errors import StudentError
from selfsteer.steering import decoding
from selfsteer.steering import generate as generation
from selfsteer.steering.capture import capture_tokens
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.generate import Generation, generate
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example
from selfsteer.steering.scoring import completion_logprobs, option_logprobs
from tests.steering.exactness import (
    PROMPTS,
    STEPS,
    cached_against_uncached,
    plans_for,
    untouched_logits_that_change,
)
from tests.steering.families import FAMILIES, STATE_ELSEWHERE, family_student
from tests.steering.students import (
    BLOCKS,
    build_vector,
    hook_count,
    reference_logits,
)

EVERY = FAMILIES | STATE_ELSEWHERE
# One for each way in which a family's positions, cache or arguments differ.
OWN_GENERATE = "llama gemma2 gpt2 opt falcon-alibi bloom mpt mamba jamba qwen2-vl".split()
EXAMPLES = [
    Example(prompt=prompt, completion="no" * n)
    for prompt, n in zip(PROMPTS, (1, 3, 6, 2), strict=True)
]
# Logits of these models are of size 10 and less, float32 keeps 1e-6 of that a layer.
EXACT: dict[str, float] = {"atol": 1e-4, "rtol": 0}


@pytest.fixture(scope="module", params=FAMILIES)
def student(request: pytest.FixtureRequest) -> Student:
    return family_student(request.param)


@pytest.fixture(scope="module", params=EVERY)
def any_student(request: pytest.FixtureRequest) -> Student:
    return family_student(request.param)


def plain_residuals(student: Student, blocks: str, row: Encoded) -> Tensor:
    """[1 + blocks, T, D]: what goes into the first block and comes out of each, read by hooks
    of this test in an ordinary forward of the whole model."""
    seen: list[Tensor] = []
    modules: Any = student.model.get_submodule(blocks)
    handles = [modules[0].register_forward_pre_hook(lambda _m, args: seen.append(args[0]))]
    handles += [
        block.register_forward_hook(
            lambda _m, _a, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
        for block in modules
    ]
    with torch.no_grad():
        student.model(torch.tensor([row.ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return torch.cat(seen)


@pytest.mark.parametrize("name", EVERY)
def test_blocks_are_found(name: str) -> None:
    student = family_student(name)
    assert student.layers == tuple(student.model.get_submodule(EVERY[name].blocks))
    assert student.n_layers == BLOCKS


def test_every_token_matters(any_student: Student) -> None:
    """Guards the tests below: where tokens see none of those before, nothing could go wrong."""
    ids = torch.tensor([encode(any_student, PROMPTS[0]).ids])
    other = ids.clone()
    other[0, -4] += 1
    with torch.no_grad():
        logits, moved = (any_student.model(i, use_cache=False).logits[0] for i in (ids, other))
    assert (logits - moved)[:-4].abs().max() < 1e-4
    assert (logits - moved)[-1].abs().max() > 0.01


@pytest.mark.parametrize("layers", [(-1, *range(BLOCKS)), (1, -1)])
def test_activations_are_those_of_a_plain_forward(
    any_student: Student, layers: tuple[int, ...]
) -> None:
    """Where they are shallow the forward ends early; the language-model head never runs."""
    blocks = EVERY[any_student.name.removeprefix("tiny-")].blocks
    ran: set[str] = set()
    behind = {"head": any_student.model.get_output_embeddings(), "last": any_student.layers[-1]}
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.add(name))
        for name, module in behind.items()
    ]
    found = capture_tokens(any_student, EXAMPLES, layers, "all + special")
    for handle in handles:
        handle.remove()
    assert ran == ({"last"} if BLOCKS - 1 in layers else set())
    for values, example in zip(found, EXAMPLES, strict=True):
        expected = plain_residuals(any_student, blocks, encode(any_student, example))
        expected = expected[[layer + 1 for layer in layers]]
        scale = expected.abs().max().item()
        torch.testing.assert_close(values, expected, atol=1e-5 * scale, rtol=0)


def expected_logprobs(student: Student, row: Encoded, plan: Plan) -> Tensor:
    logprobs = torch.log_softmax(reference_logits(student, row, plan), -1)
    reply = torch.tensor(row.ids[row.prompt_length :])
    return logprobs[row.prompt_length - 1 : -1].gather(1, reply[:, None]).squeeze(1)


def test_scores_are_those_of_a_row_alone(any_student: Student) -> None:
    plans = plans_for(any_student)
    found = completion_logprobs(any_student, EXAMPLES, plans)
    for values, example, plan in zip(found, EXAMPLES, plans, strict=True):
        expected = expected_logprobs(any_student, encode(any_student, example), plan)
        torch.testing.assert_close(values, expected, **EXACT)


def test_unsteered_scores_of_one_prompt_are_those_of_rows_alone(any_student: Student) -> None:
    """Where the family has a cache, the prompt is read once for all of them."""
    several = [
        Example(prompt=example.prompt, completion=reply)
        for example in EXAMPLES[:2]
        for reply in ("no", "note", "not at all", "yes")
    ]
    found = completion_logprobs(any_student, several)
    for values, example in zip(found, several, strict=True):
        expected = expected_logprobs(any_student, encode(any_student, example), Plan.none())
        torch.testing.assert_close(values, expected, **EXACT)


def test_options_are_scored_on_the_cache(student: Student) -> None:
    prompts, plans, options = PROMPTS[1:], plans_for(student)[1:], ["n", "yes"]
    found = option_logprobs(student, prompts, options, plans)
    for scores, prompt, plan in zip(found, prompts, plans, strict=True):
        rows = [encode(student, Example(prompt=prompt, completion=o)) for o in options]
        expected = [expected_logprobs(student, row, plan).sum() for row in rows]
        torch.testing.assert_close(scores, torch.stack(expected), **EXACT)


def test_every_step_of_every_row_is_that_of_an_uncached_forward(student: Student) -> None:
    found = cached_against_uncached(student)
    assert found.apart <= EXACT["atol"]
    assert found.moved > 0.05  # a reference that changes nothing would prove nothing


@pytest.mark.filterwarnings("ignore::selfsteer.steering.plan.SteeringWarning")
def test_strength_0_and_removed_hooks_are_bit_equal(student: Student) -> None:
    hooks = hook_count(student)
    assert untouched_logits_that_change(student) == 0
    assert hook_count(student) == hooks


def test_a_reply_does_not_depend_on_its_batch(student: Student) -> None:
    plans = plans_for(student)

    def run(chosen: Sequence[int]) -> list[Generation]:
        prompts, some = [PROMPTS[i] for i in chosen], [plans[i] for i in chosen]
        return generate(student, prompts, some, max_new_tokens=STEPS, temperature=0)

    together = run([0, 1, 2, 3])
    assert run([3, 0]) == [together[3], together[0]]


@pytest.mark.parametrize("read", [8192, 40])  # tokens: all prompts at once, and in parts
@pytest.mark.parametrize("name", OWN_GENERATE)
def test_replies_of_transformers_own_generate(
    name: str, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "reading_budget", lambda _device: read)
    student = family_student(name)
    plans = plans_for(student)
    ours = generate(student, PROMPTS, plans, max_new_tokens=STEPS, temperature=0)
    theirs = steered_generate_hf(student, PROMPTS, plans, max_new_tokens=STEPS, do_sample=False)
    assert theirs == ours


@pytest.mark.parametrize("name", STATE_ELSEWHERE)
def test_a_state_outside_the_cache_is_refused(name: str) -> None:
    student = family_student(name)
    for run in (generate, steered_generate_hf):
        with pytest.raises(StudentError, match="keeps its state outside transformers' cache"):
            run(student, PROMPTS, max_new_tokens=3)
    with pytest.raises(StudentError, match="keeps its state outside transformers' cache"):
        option_logprobs(student, PROMPTS, ["yes"])
    assert hook_count(student) == hook_count(family_student(name))


@pytest.mark.parametrize("name", ["mamba", "jamba"])
def test_recurrent_students_see_no_pads(name: str) -> None:
    """Their state would go through pads on the left; transformers masks only some of that."""
    student = family_student(name)
    widths: list[int] = []
    masks: list[object] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        widths.append(kwargs["input_ids"].shape[0])
        masks.append(kwargs["attention_mask"])

    plan = Plan.single(build_vector(student), 1, 0.5, selector="all")
    handle = student.model.register_forward_pre_hook(note, with_kwargs=True)
    completion_logprobs(student, EXAMPLES, plan)
    handle.remove()
    lengths = [len(encode(student, example).ids) for example in EXAMPLES]
    assert sorted(widths) == sorted(np.unique(lengths, return_counts=True)[1].tolist())
    assert masks == [None] * len(widths)


@pytest.mark.parametrize("name", ["mamba", "jamba", "falcon-h1"])
def test_states_follow_their_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal prompts are read once and their state is repeated; rows that are done are dropped."""
    student = family_student(name)
    monkeypatch.setattr(generation, "end_ids", lambda _: frozenset(range(2, 50)))
    prompts = PROMPTS[:2] * 4
    plan = Plan.single(build_vector(student), 1, 0.5, selector="response")
    found = []
    for share in (2.0, 0.0):
        monkeypatch.setattr(decoding, "_DROP_AT", share)
        found.append(generate(student, prompts, plan, max_new_tokens=12, seed=2))
    assert found[0] == found[1]
    # Otherwise nothing was dropped while other rows went on.
    assert all(len({len(reply.ids) for reply in found[0][k::2]}) > 1 for k in (0, 1))
