"""Steered generation: exact under cache, padding and dropped rows; replies end as they must."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from selfsteer.errors import PlanError, SelectorError, StudentError, VectorError
from selfsteer.steering import decoding
from selfsteer.steering.encoding import encode
from selfsteer.steering.generate import Generation, end_ids, generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan, SteeringWarning
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.schedules import Schedule
from tests.steering.families import narrow_student
from tests.steering.students import (
    BLOCKS,
    PROMPTS,
    build_student,
    build_vector,
    grown,
    hook_count,
    mixed_plans,
    reference_logits,
    splitting_gate,
)

# Longer and shorter than the sliding window of 16, and one twice.


def plans_for(student: Student) -> list[Plan]:
    one, two = build_vector(student), build_vector(student, seed=1)
    return [
        Plan.none(),
        Plan.single(one, 0, 1.0),
        Plan.single(two, BLOCKS - 1, -0.7, "ablate", "response"),
        Plan((Edit(one, (-1, 1), 0.5, "add", "generated[2:5] + last"), Edit(two, (1,), 0.5))),
        Plan((Edit(one, (1,), 1.0, selector="user - user[0]"), Edit(two, (1,), 1.0, "ablate"))),
        Plan.single(one, 1, 0.6, selector="all + special"),
    ]


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Tensor]]:
    """Logits that each step of the decoding loop chose from."""
    seen: list[Tensor] = []
    choose = decoding.choose

    def watch(logits: Tensor, temperature: float, draws: Tensor) -> Tensor:
        seen.append(logits.clone())
        return choose(logits, temperature, draws)

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "choose", watch)
        yield seen


def batch_order(student: Student, prompts: Sequence[Prompt]) -> list[int]:
    """Row numbers in the order in which one batch holds them."""
    ids = [encode(student, prompt).ids for prompt in prompts]
    return sorted(range(len(ids)), key=lambda i: (len(ids[i]), ids[i]))


def expected_logits(
    student: Student, prompt: Prompt, plan: Plan, reply: Generation, steps: int
) -> Tensor:
    """[T, V] that a plain forward over prompt and reply gives for every token of the reply, and
    for the one that ended it."""
    row = grown(student, prompt, reply.ids)
    stop = min(len(reply.ids) + 1, steps)
    return reference_logits(student, row, plan)[row.prompt_length - 1 :][:stop]


@pytest.mark.parametrize("read", [8192, 60])  # tokens: all prompts at once, and in parts
def test_every_step_of_every_row_is_exact(
    student: Student, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    monkeypatch.setattr(decoding, "reading_budget", lambda _device: read)
    monkeypatch.setattr(decoding, "_DROP_AT", 2.0)  # keep all rows, so that logits line up
    plans, steps = plans_for(student), 30
    with recorded(monkeypatch) as seen:
        replies = generate(student, PROMPTS, plans, max_new_tokens=steps, seed=5)
    logits = torch.stack(seen, dim=1)
    for place, i in enumerate(batch_order(student, PROMPTS)):
        expected = expected_logits(student, PROMPTS[i], plans[i], replies[i], steps)
        found = logits[place, : len(expected)]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("read", [8192, 60])  # tokens: all prompts at once, and in parts
def test_every_operator_gate_and_schedule_is_exact_under_the_cache(
    student: Student, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    monkeypatch.setattr(decoding, "reading_budget", lambda _device: read)
    monkeypatch.setattr(decoding, "_DROP_AT", 2.0)
    plans, steps = mixed_plans(student, PROMPTS), 8
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(plans))]
    with recorded(monkeypatch) as seen:
        replies = generate(student, prompts, plans, max_new_tokens=steps, seed=3)
    logits = torch.stack(seen, dim=1)
    for place, i in enumerate(batch_order(student, prompts)):
        expected = expected_logits(student, prompts[i], plans[i], replies[i], steps)
        found = logits[place, : len(expected)]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_gate_is_decided_by_each_prompt_of_a_shared_batch(llama: Student) -> None:
    """Edits of the reply alone let prompts be shared between plans; a gate must still see its own
    prompt, and equal prompts with equal plans are still read once."""
    widths: list[int] = []
    vector, gate = build_vector(llama), splitting_gate(llama, PROMPTS)
    plans = [
        Plan.single(vector, 1, s, selector="response", gate=g)
        for s in (0.5, 1.0)
        for g in (gate, None)
    ]
    with llama.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: widths.append(len(kwargs["input_ids"])), with_kwargs=True
    ):
        together = {
            prompt: generate(llama, [prompt] * 8, plans * 2, max_new_tokens=6)
            for prompt in set(PROMPTS)
        }
    assert widths[0] == 3  # one for each gated plan, one for both others
    bare = {prompt: generate(llama, [prompt] * 8, max_new_tokens=6) for prompt in set(PROMPTS)}
    closed = [all(together[p][i] == bare[p][i] for i in (0, 2, 4, 6)) for p in set(PROMPTS)]
    assert set(closed) == {True, False}


def test_dropping_finished_rows_changes_nothing(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, plans = PROMPTS * 4, plans_for(student) * 4
    found = []
    for share in (2.0, 1 / 8, 0.0):
        monkeypatch.setattr(decoding, "_DROP_AT", share)
        found.append(generate(student, prompts, plans, max_new_tokens=80, seed=1))
    assert found[0] == found[1] == found[2]
    assert sum(reply.finished for reply in found[0]) >= len(prompts) // 4


def test_a_row_does_not_depend_on_its_batch(student: Student) -> None:
    plans = plans_for(student)
    together = generate(student, PROMPTS, plans, max_new_tokens=20)
    assert generate(student, PROMPTS, plans, max_new_tokens=20, batch_tokens=1) == together
    for i in range(len(PROMPTS)):
        others = [PROMPTS[i] if j == i else Prompt.chat("other") for j in range(len(PROMPTS))]
        assert generate(student, others, plans, max_new_tokens=20)[i] == together[i]


def test_greedy_replies_are_the_likeliest_tokens(student: Student) -> None:
    plans = plans_for(student)
    replies = generate(student, PROMPTS, plans, max_new_tokens=12, temperature=0)
    for prompt, plan, reply in zip(PROMPTS, plans, replies, strict=True):
        expected = expected_logits(student, prompt, plan, reply, 12).argmax(-1).tolist()
        assert reply.ids == expected[: len(reply.ids)]
        assert reply.finished == (len(expected) > len(reply.ids))


@pytest.mark.filterwarnings("ignore::selfsteer.steering.plan.SteeringWarning")
def test_strength_0_is_bit_equal_to_no_plan(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for plan in (None, Plan.none(), Plan.single(build_vector(student), 1, 0.0)):
        with recorded(monkeypatch) as seen:
            generate(student, PROMPTS, plan, max_new_tokens=10)
        runs.append(seen)
    for bare, empty, zero in zip(*runs, strict=True):
        assert torch.equal(bare, empty)
        assert torch.equal(bare, zero)


def test_steering_changes_replies_and_leaves_no_trace(llama: Student) -> None:
    before = generate(llama, PROMPTS, max_new_tokens=10)
    steered = generate(llama, PROMPTS, Plan.single(build_vector(llama), 1, 2.0), max_new_tokens=10)
    assert steered != before
    assert generate(llama, PROMPTS, max_new_tokens=10) == before


def test_seeds_and_rows_give_different_replies(llama: Student) -> None:
    same = [PROMPTS[0]] * 8
    replies = generate(llama, same, max_new_tokens=10, seed=0)
    assert len({tuple(r.ids) for r in replies}) == 8
    assert generate(llama, same, max_new_tokens=10, seed=0) == replies
    assert generate(llama, same, max_new_tokens=10, seed=1) != replies


def test_equal_prompts_are_read_once(llama: Student) -> None:
    """Rows that steering treats alike on the prompt share its forward; others do not."""
    widths: list[int] = []
    handle = llama.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: widths.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    vector = build_vector(llama)
    on_reply = [Plan.single(vector, 1, s / 10, selector="response") for s in range(1, 9)]
    on_all = [Plan.single(vector, 1, s / 10) for s in (1, 1, 1, 2, 2, 2, 3, 3)]
    try:
        shared = generate(llama, [PROMPTS[0]] * 8, on_reply, max_new_tokens=6)
        generate(llama, [PROMPTS[0]] * 8, on_all, max_new_tokens=6)
    finally:
        handle.remove()
    assert widths[0] == 1
    assert widths[6] == 3
    for i, plan in enumerate(on_reply):
        alone = generate(llama, [Prompt.chat("x")] * i + [PROMPTS[0]], plan, max_new_tokens=6)
        assert alone[i] == shared[i]


def test_replies_end_with_an_end_token_or_the_limit(llama: Student) -> None:
    replies = generate(llama, [PROMPTS[0]] * 100, max_new_tokens=60)
    ends = end_ids(llama)
    assert ends == {2, 6}  # end of text, and the template's turn end
    assert {reply.finished for reply in replies} == {True, False}
    for reply in replies:
        assert not ends & set(reply.ids)
        assert len(reply.ids) == 60 or (reply.finished and len(reply.ids) < 60)
        assert reply.text == llama.tokenizer.decode(reply.ids, skip_special_tokens=True)


def test_a_reply_stops_where_the_context_does() -> None:
    student = build_student("llama", max_position_embeddings=30)
    prompts = [Prompt.chat("a" * n) for n in (2, 20, 24)]
    replies = generate(student, prompts, max_new_tokens=40, temperature=0)
    for prompt, reply in zip(prompts, replies, strict=True):
        room = 30 - len(encode(student, prompt).ids)
        assert reply.finished or len(reply.ids) == room
    with pytest.raises(StudentError, match="A prompt has 30 tokens, but tiny-llama reads 30"):
        generate(student, [Prompt.chat("a" * 26)])


def test_no_prompts(llama: Student) -> None:
    assert generate(llama, []) == []


def idle_reasons(student: Student, plans: Sequence[Plan]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generate(student, [Prompt.chat("hi")] * len(plans), plans, max_new_tokens=2)
    assert all(w.category is SteeringWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_a_plan_that_changes_nothing_warns_with_the_reason(llama: Student) -> None:
    vector = build_vector(llama)
    zero = Plan.single(vector, 1, 0.0)
    nowhere = Plan.single(vector, 1, 1.0, selector="system")
    effective = Plan.single(vector, 1, 1.0)
    assert idle_reasons(llama, [Plan.none(), effective]) == []
    assert idle_reasons(llama, [zero, zero, effective]) == [
        f"The plan with vector {vector.id} changes nothing: its strength is 0."
    ]
    assert idle_reasons(llama, [nowhere]) == [
        f"The plan with vector {vector.id} changes nothing: its selector 'system' matches no token."
    ]


def test_an_edit_that_changes_nothing_beside_one_that_does_warns(llama: Student) -> None:
    one, two = build_vector(llama), build_vector(llama, seed=1)
    live = Edit(one, (1,), 1.0)
    far, zero = Edit(two, (1,), 1.0, selector="prompt[500]"), Edit(two, (2,), 0.0, "ablate")
    never = Edit(two, (1,), 1.0, selector="response[1:]", schedule=Schedule("first", 1))
    assert idle_reasons(llama, [Plan((live, far)), Plan((zero, live)), Plan((never, live))]) == [
        f"Edit 2 of the plan with vector {two.id} changes nothing: its selector 'prompt[500]' "
        "matches no token.",
        f"Edit 1 of the plan with vector {two.id} changes nothing: its strength is 0.",
        f"Edit 1 of the plan with vector {two.id} changes nothing: its selector 'response[1:]' "
        "matches no token.",
    ]
    assert idle_reasons(llama, [Plan((zero, zero))]) == [
        f"The plan with vector {two.id} changes nothing: all its strengths are 0."
    ]
    assert idle_reasons(llama, [Plan((far, zero))]) == [
        f"The plan with vector {two.id} changes nothing: its selector 'prompt[500]' matches no "
        "token."
    ]


def test_rows_in_which_an_edit_changes_nothing_are_told(llama: Student) -> None:
    vector = build_vector(llama)
    prompts = [Prompt.chat("hi", system="s"), Prompt.chat("hi"), Prompt.chat("you", system="s")]
    alone = Plan.single(vector, 1, 1.0, selector="system")
    both = Plan((Edit(vector, (2,), 1.0), *alone.edits))
    for plan, start in ((alone, "The plan"), (both, "Edit 2 of the plan")):
        with pytest.warns(SteeringWarning) as caught:
            generate(llama, prompts, plan, max_new_tokens=2)
        assert [str(w.message) for w in caught] == [
            f"{start} with vector {vector.id} changes nothing in 1 of 3 rows, the first of them "
            "row 1: its selector 'system' matches no token."
        ]


def test_a_full_context_does_not_end_the_others_of_its_batch() -> None:
    """Rows that are done ride along behind the end of the context until many are."""
    student = build_student("gpt2", n_positions=40)
    student.model.generation_config.eos_token_id = None
    student.tokenizer.eos_token = None
    prompts = [Prompt.raw("a" * 36), *[Prompt.raw("b" * n) for n in range(1, 12)]]
    replies = generate(student, prompts, max_new_tokens=15, temperature=0)
    assert [len(reply.ids) for reply in replies] == [3] + [15] * 11
    assert replies[1:] == generate(student, prompts[1:], max_new_tokens=15, temperature=0)


@pytest.mark.parametrize("family", ["gpt-neo", "mpt", "gpt2", "bloom"])
def test_pads_and_replies_stay_within_the_context(family: str) -> None:
    """Some families number the keys, pads included, and know as many as they have positions."""
    student = narrow_student(family, 40)
    prompts = [Prompt.raw("a" * n) for n in (4, 30, 5, 33, 30)]
    plan = Plan.single(build_vector(student), 1, 0.5)
    for plans in (None, plan):
        together = generate(student, prompts, plans, max_new_tokens=25, temperature=0)
        for prompt, reply in zip(prompts, together, strict=True):
            assert [reply] == generate(student, [prompt], plans, max_new_tokens=25, temperature=0)


def test_what_is_refused(llama: Student, mistral: Student) -> None:
    vector = build_vector(llama)
    with pytest.raises(PlanError, match="max_new_tokens is 0"):
        generate(llama, PROMPTS, max_new_tokens=0)
    for temperature in (-1.0, float("nan")):
        with pytest.raises(PlanError, match="The temperature is"):
            generate(llama, PROMPTS, temperature=temperature)
    with pytest.raises(PlanError, match="Unknown overflow 'bogus'; it is refuse or end"):
        generate(llama, PROMPTS, overflow="bogus")  # type: ignore[arg-type]
    size = llama.embedding.weight.shape[0]
    for token in (-1, size, 10**6):
        with pytest.raises(PlanError, match=rf"Token {token} .*; its ids are 0 to {size - 1}\."):
            generate(llama, PROMPTS, watch=[0, token])
    with pytest.raises(PlanError, match="1 plans for 6 rows"):
        generate(llama, PROMPTS, [Plan.none()])
    with pytest.raises(SelectorError, match="counts from the end of a reply"):
        generate(llama, PROMPTS, Plan.single(vector, 1, 1.0, selector="response[-1]"))
    with pytest.raises(VectorError, match="was extracted from student"):
        generate(mistral, PROMPTS, Plan.single(vector, 1, 1.0))


def test_hooks_are_gone_after_an_error(llama: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> Tensor:
        raise KeyboardInterrupt

    before = hook_count(llama)
    monkeypatch.setattr(decoding, "choose", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(llama, PROMPTS, Plan.single(build_vector(llama), 1, 1.0))
    assert hook_count(llama) == before


def test_real_models_are_steered_exactly(
    real_student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [Prompt.raw("Once upon a time"), Prompt.raw("The sun"), Prompt.raw("Lily and Tom")]
    vector = build_vector(real_student)
    plans = [Plan.none(), Plan.single(vector, 2, 0.4), Plan.single(vector, 3, 1.0, "ablate")]
    monkeypatch.setattr(decoding, "_DROP_AT", 2.0)
    with recorded(monkeypatch) as seen:
        replies = generate(real_student, prompts, plans, max_new_tokens=40, temperature=0)
    logits = torch.stack(seen, dim=1)
    for place, i in enumerate(batch_order(real_student, prompts)):
        expected = expected_logits(real_student, prompts[i], plans[i], replies[i], 40)
        torch.testing.assert_close(logits[place, : len(expected)], expected, atol=1e-4, rtol=0)
    assert replies[0].text.split()[0] in {"there", ",", "there,"}


def test_watched_tokens_keep_their_log_probabilities(llama: Student) -> None:
    prompts = [Prompt.chat("one"), Prompt.chat("another one"), Prompt.chat("a third")]
    watched = (20, 90)
    found = generate(llama, prompts, max_new_tokens=9, temperature=0.7, seed=2, watch=watched)
    plain = generate(llama, prompts, max_new_tokens=9, temperature=0.7, seed=2)
    assert [reply.ids for reply in found] == [reply.ids for reply in plain]
    for prompt, reply in zip(prompts, found, strict=True):
        row = grown(llama, prompt, reply.ids)
        logprobs = reference_logits(llama, row, Plan.none()).log_softmax(-1)
        steps = logprobs[row.prompt_length - 1 :, list(watched)]
        expected = steps if reply.finished else steps[:-1]
        torch.testing.assert_close(torch.tensor(reply.watched), expected, atol=1e-4, rtol=1e-4)
        own = logprobs[row.prompt_length - 1 :][range(len(reply.ids)), reply.ids]
        kept = torch.tensor(reply.logprobs)
        assert len(kept) == len(reply.watched)
        torch.testing.assert_close(kept[: len(own)], own, atol=1e-4, rtol=1e-4)
    assert all(reply.logprobs == [] for reply in plain)
