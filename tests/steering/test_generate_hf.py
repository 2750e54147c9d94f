"""Steering through transformers' own generate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig

from selfsteer.errors import PlanError, StudentError
from selfsteer.steering.generate import generate
from selfsteer.steering.generate_hf import steered_generate_hf
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Prompt
from tests.steering.students import (
    build_student,
    build_tokenizer,
    build_vector,
    grown,
    hook_count,
    mixed_plans,
    reference_logits,
)

PROMPTS = [Prompt.chat("ab" * n) for n in (1, 12, 5)]


def plans_for(student: Student) -> list[Plan]:
    one, two = build_vector(student), build_vector(student, seed=1)
    return [
        Plan.none(),
        Plan.single(one, 1, 0.8, selector="generated[1:4] + user"),
        Plan((Edit(one, (0,), 0.5), Edit(two, (2,), 1.0, "ablate", "response"))),
    ]


def test_greedy_replies_are_those_of_our_loop(student: Student) -> None:
    plans = plans_for(student)
    ours = generate(student, PROMPTS, plans, max_new_tokens=15, temperature=0)
    theirs = steered_generate_hf(student, PROMPTS, plans, max_new_tokens=15, do_sample=False)
    assert theirs == ours


def test_gates_and_schedules_in_beams(llama: Student) -> None:
    plans, options = mixed_plans(llama, PROMPTS), {"do_sample": False, "suppress_tokens": [2, 6]}
    plans = [plan for plan in plans if plan.edits[0].gate or plan.edits[0].schedule][::5]
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(plans))]
    found = steered_generate_hf(llama, prompts, plans, max_new_tokens=5, num_beams=2, **options)
    for prompt, plan, reply in zip(prompts, plans, found, strict=True):
        assert reply.ids == beam_search(llama, prompt, plan, 2, 5)


def beam_search(
    student: Student, prompt: Prompt, plan: Plan, beams: int, steps: int, bias: float = 0.0
) -> list[int]:
    """The best reply of `steps` tokens by a plain beam search without cache or end tokens; `bias`
    is added to the log-probability of two special tokens."""
    kept: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(steps):
        longer = []
        for score, reply in kept:
            row = grown(student, prompt, reply)
            logits: Tensor = reference_logits(student, row, plan)[-1]
            logprobs = torch.log_softmax(logits, -1)
            logprobs[[2, 6]] = -torch.inf
            logprobs[[3, 4]] += bias
            values, tokens = logprobs.topk(beams)
            pairs = zip(values.tolist(), tokens.tolist(), strict=True)
            longer += [(score + value, [*reply, token]) for value, token in pairs]
        kept = sorted(longer, reverse=True)[:beams]
    return kept[0][1]


def test_beams_of_a_row_all_follow_its_plan(student: Student) -> None:
    plans, options = plans_for(student), {"do_sample": False, "suppress_tokens": [2, 6]}
    found = steered_generate_hf(student, PROMPTS, plans, max_new_tokens=6, num_beams=3, **options)
    for prompt, plan, reply in zip(PROMPTS, plans, found, strict=True):
        assert reply.ids == beam_search(student, prompt, plan, 3, 6)


@pytest.mark.parametrize(
    "selector",
    ["response[1:3]", 'response + special - "<|system|><|user|>" - "<|user|><|system|>"'],
)
def test_what_was_said_moves_along_with_its_beam(mistral: Student, selector: str) -> None:
    """Special tokens are no positions of a reply, so beams of a row may be at different ones; and
    each beam has its own last tokens, which begin a text or do not."""
    vector, bias = build_vector(mistral), 3.0
    plan = Plan.single(vector, 1, 1.0, selector=selector)
    found = steered_generate_hf(
        mistral,
        PROMPTS,
        plan,
        max_new_tokens=8,
        num_beams=4,
        do_sample=False,
        suppress_tokens=[2, 6],
        sequence_bias=[[[3], bias], [[4], bias]],
    )
    for prompt, reply in zip(PROMPTS, found, strict=True):
        assert reply.ids == beam_search(mistral, prompt, plan, 4, 8, bias)
    assert any(i in (3, 4) for reply in found for i in reply.ids)


def test_what_is_refused(llama: Student) -> None:
    with pytest.raises(PlanError, match="num_return_sequences must be 1"):
        steered_generate_hf(llama, PROMPTS, num_return_sequences=2)
    with pytest.raises(PlanError, match="num_beams is 0"):
        steered_generate_hf(llama, PROMPTS, num_beams=0)
    with pytest.raises(PlanError, match="max_new_tokens is 0"):
        steered_generate_hf(llama, PROMPTS, max_new_tokens=0)
    for temperature in (-1.0, float("inf")):
        with pytest.raises(PlanError, match="The temperature is"):
            steered_generate_hf(llama, PROMPTS, do_sample=True, temperature=temperature)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("prompt_lookup_num_tokens", 3, "cannot take prompt_lookup_num_tokens"),
        ("assistant_model", object(), "cannot take assistant_model"),
        ("guidance_scale", 1.5, "cannot take guidance_scale"),
        ("return_dict_in_generate", True, "cannot take return_dict_in_generate"),
        ("prefill_chunk_size", 4, "cannot take prefill_chunk_size"),
        ("num_return_sequences", 2, "num_return_sequences must be 1"),
        ("pad_token_id", 0, "sets pad_token_id itself"),
        ("past_key_values", None, "sets past_key_values itself"),
    ],
)
def test_options_that_cannot_be_steered(
    llama: Student, option: str, value: object, reason: str
) -> None:
    with pytest.raises(PlanError, match=reason):
        steered_generate_hf(llama, PROMPTS, **{option: value})
    if not reason.startswith("sets"):
        config = GenerationConfig()
        setattr(config, option, value)
        with pytest.raises(PlanError, match=reason):
            steered_generate_hf(llama, PROMPTS, generation_config=config)


def test_options_that_say_nothing(llama: Student) -> None:
    ours = generate(llama, PROMPTS, max_new_tokens=8, temperature=0)
    options = {"guidance_scale": 1.0, "return_dict_in_generate": False, "temperature": None}
    assert steered_generate_hf(llama, PROMPTS, max_new_tokens=8, do_sample=False, **options) == ours


@pytest.mark.parametrize("pad", ["<pad>", "</s>"])
def test_a_reply_that_a_stop_string_ends_has_no_pads(llama: Student, pad: str) -> None:
    tokenizer = build_tokenizer()
    tokenizer.pad_token = pad
    student = Student.wrap(llama.model, tokenizer, "tiny-llama")
    options = {"max_new_tokens": 12, "do_sample": False, "suppress_tokens": [0, 2, 6]}
    whole = steered_generate_hf(student, PROMPTS, **options)
    stop = next(letter for letter in whole[0].text if letter.isascii() and letter.isprintable())
    options |= {"stop_strings": [stop], "tokenizer": tokenizer}
    found = steered_generate_hf(student, PROMPTS, **options)
    for reply, bare in zip(found, whole, strict=True):
        assert reply.ids == bare.ids[: len(reply.ids)]
        assert reply.finished is (stop in reply.text) is reply.text.endswith(stop)
    assert len({len(reply.ids) for reply in found}) > 1, "no row was padded"


def test_no_prompts(llama: Student) -> None:
    assert steered_generate_hf(llama, []) == []


def test_temperature_0_takes_the_likeliest(llama: Student) -> None:
    ours = generate(llama, PROMPTS, max_new_tokens=8, temperature=0)
    for do_sample in (True, False):
        options = {"temperature": 0, "do_sample": do_sample, "max_new_tokens": 8}
        assert steered_generate_hf(llama, PROMPTS, **options) == ours


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_reply_stops_where_the_context_does(family: str) -> None:
    student = build_student(family, max_position_embeddings=40)
    prompts = [Prompt.chat("a" * n) for n in (2, 30, 33, 4)]
    plans = [Plan.single(build_vector(student), 1, s) for s in (0.1, 0.2, 0.3, 0.4)]
    ours = generate(student, prompts, plans, max_new_tokens=25, temperature=0)
    options = {"max_new_tokens": 25, "do_sample": False}
    assert steered_generate_hf(student, prompts, plans, **options) == ours
    with pytest.raises(StudentError, match=f"A prompt has 44 tokens, but tiny-{family} reads 40"):
        steered_generate_hf(student, [Prompt.chat("a" * 40)], **options)


def test_hooks_are_gone_after_an_error(llama: Student) -> None:
    def stop(_ids: Tensor, _scores: Tensor) -> Tensor:
        raise KeyboardInterrupt

    before = hook_count(llama)
    with pytest.raises(KeyboardInterrupt):
        steered_generate_hf(llama, PROMPTS, plans_for(llama), logits_processor=[stop])
    assert hook_count(llama) == before
