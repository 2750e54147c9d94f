"""Reading activations: the right values, in order, with no more work than needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from selfsteer.errors import SelectorError, StudentError
from selfsteer.steering.capture import (
    ReadAs,
    Reduce,
    capture,
    capture_group_moments,
    capture_moments,
    capture_tokens,
)
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.selectors import parse
from tests.steering.students import BLOCKS, WIDTH, build_student, hook_count

LENGTHS = (3, 30, 1, 12, 30, 7)
EXAMPLES = [
    Example(prompt=Prompt.chat("ab" * (n % 4 + 1)), completion="xyz"[i % 3] * n)
    for i, n in enumerate(LENGTHS)
]


def residuals(student: Student, row: Encoded) -> torch.Tensor:
    """[blocks, T, D] from transformers' own record of one unpadded row: the embedding output and
    every block but the last, which it only keeps after the final norm."""
    with torch.no_grad():
        out = student.model(torch.tensor([row.ids]), output_hidden_states=True)
    return torch.cat(out.hidden_states[:-1])


@pytest.mark.parametrize("token_budget", [1, 64, 4096])
def test_means_are_those_of_transformers(student: Student, token_budget: int) -> None:
    layers = (1, -1, 0)
    found = capture(student, EXAMPLES, layers, token_budget=token_budget)
    assert found.layers == layers
    assert found.values.shape == (3, len(EXAMPLES), WIDTH)
    assert found.values.dtype == torch.float32
    for n, example in enumerate(EXAMPLES):
        row = encode(student, example)
        reply = residuals(student, row)[:, row.prompt_length :].double()
        for place, layer in enumerate(layers):
            expected = reply[layer + 1]
            torch.testing.assert_close(
                found.values[place, n].double(), expected.mean(0), atol=1e-5, rtol=1e-5
            )
            norm = found.norms[place, n].item()
            assert norm == pytest.approx(expected.norm(dim=-1).mean().item(), rel=1e-5)


def test_the_last_block_is_read_before_the_final_norm(llama: Student) -> None:
    row = encode(llama, EXAMPLES[0])
    last = capture_tokens(llama, [row], [BLOCKS - 1], "all + special")[0]
    with torch.no_grad():
        normed = llama.model.model.norm(last)
        expected = llama.model.model(torch.tensor([row.ids])).last_hidden_state
    torch.testing.assert_close(normed, expected, atol=1e-5, rtol=1e-5)


def test_all_blocks_are_the_default(llama: Student) -> None:
    assert capture(llama, EXAMPLES).layers == tuple(range(BLOCKS))


def test_last_takes_the_last_selected_token(student: Student) -> None:
    found = capture(student, EXAMPLES, [1], "user[0:2]", reduce="last")
    for n, example in enumerate(EXAMPLES):
        row = encode(student, example)
        at = np.flatnonzero(parse("user[0:2]").mask(row))[-1]
        expected = residuals(student, row)[2, at]
        torch.testing.assert_close(found.values[0, n], expected, atol=1e-5, rtol=1e-5)
        assert found.norms[0, n].item() == pytest.approx(expected.norm().item(), rel=1e-5)


def test_single_tokens_are_ragged_and_in_order(student: Student) -> None:
    found = capture_tokens(student, EXAMPLES, [-1, 1], "all + special", token_budget=64)
    for values, example in zip(found, EXAMPLES, strict=True):
        row = encode(student, example)
        assert values.shape == (2, len(row.ids), WIDTH)
        expected = residuals(student, row)[[0, 2]]
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)


def test_moments_are_those_of_all_tokens(student: Student) -> None:
    layers = [-1, 0, 1]
    found = capture_moments(student, EXAMPLES, layers, "response", second=True, token_budget=64)
    tokens = torch.cat(capture_tokens(student, EXAMPLES, layers, "response"), dim=1).double()
    assert found.n == tokens.shape[1] == sum(LENGTHS)
    assert found.second is not None
    square = torch.einsum("lnd,lne->lde", tokens, tokens) / found.n
    torch.testing.assert_close(found.mean.double(), tokens.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.second.double(), square, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        found.norm.double(), tokens.norm(dim=-1).mean(1), atol=1e-5, rtol=1e-5
    )
    assert capture_moments(student, EXAMPLES, layers).second is None


def test_groups_are_read_together_and_counted_apart(student: Student) -> None:
    groups = [EXAMPLES[:2], EXAMPLES[2:]]
    layers = [-1, 1]
    together = capture_group_moments(student, groups, layers, "response", second=True)
    for moments, group in zip(together, groups, strict=True):
        alone = capture_moments(student, group, layers, "response", second=True)
        assert moments.n == alone.n
        for name in ("mean", "second", "norm"):
            found, expected = getattr(moments, name), getattr(alone, name)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reduce", ["mean", "last"])
def test_moments_of_texts_are_those_of_their_values(student: Student, reduce: Reduce) -> None:
    values = capture(student, EXAMPLES, [-1, 1], "response", reduce)
    (found,) = capture_group_moments(
        student, [EXAMPLES], [-1, 1], "response", reduce=reduce, second=True, token_budget=64
    )
    assert found.n == len(EXAMPLES)
    assert found.second is not None
    square = torch.einsum("lnd,lne->lde", values.values, values.values) / len(EXAMPLES)
    torch.testing.assert_close(found.mean, values.values.mean(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.norm, values.norms.mean(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.second, square, atol=1e-4, rtol=1e-4)


class Counter:
    """Counts what goes into a module: tokens of a forward."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.tokens = 0
        self._handle = module.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, _: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: object) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]  # type: ignore[index]
        self.tokens += hidden.shape[0] * hidden.shape[1]

    def stop(self) -> int:
        self._handle.remove()
        return self.tokens


def test_what_texts_begin_with_in_common_is_read_once(llama: Student) -> None:
    begun = [Prompt.raw("x" * 40 + end) for end in ("a", "b", "cd")] + [Prompt.raw("y" * 7)]
    found = capture_tokens(llama, begun, [0, 1], "all + special")
    for values, prompt in zip(found, begun, strict=True):
        expected = residuals(llama, encode(llama, prompt))[[1, 2]]
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)
    tokens = sum(len(encode(llama, prompt).ids) for prompt in begun)
    counter = Counter(llama.layers[0])
    capture(llama, begun, [1], "all")
    assert counter.stop() < tokens - 70


def test_rows_of_one_start_may_select_different_tokens_of_it(student: Student) -> None:
    begun = [Prompt.raw("x" * 20 + "y" * n) for n in (1, 9, 3)]
    found = capture(student, begun, [1], "prompt[-5:]")
    for n, prompt in enumerate(begun):
        row = encode(student, prompt)
        chosen = parse("prompt[-5:]").mask(row)
        expected = residuals(student, row)[2][torch.from_numpy(chosen)].mean(0)
        torch.testing.assert_close(found.values[0, n], expected, atol=1e-5, rtol=1e-5)


def test_the_deepest_block_feeds_selected_tokens_forward_only(llama: Student) -> None:
    counters = [Counter(llama.layers[k].get_submodule("mlp.up_proj")) for k in (0, 1)]
    tokens = len(encode(llama, EXAMPLES[0]).ids)
    capture(llama, EXAMPLES[:1], [0, 1], "response[0]")
    assert [counter.stop() for counter in counters] == [tokens, 1]


def test_bfloat16_students_give_float32_values(llama: Student) -> None:
    student = build_student("llama")
    student.model.to(torch.bfloat16)
    found = capture(student, EXAMPLES, [0]).values
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, capture(llama, EXAMPLES, [0]).values, atol=0.1, rtol=0.1)


def test_nothing_behind_the_deepest_layer_runs(student: Student) -> None:
    ran: list[str] = []
    behind = {"head": student.model.get_output_embeddings(), "block 2": student.layers[2]}
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in behind.items()
    ]
    capture(student, EXAMPLES, [-1, 1])
    assert ran == []
    capture(student, EXAMPLES[:1], [2])
    assert ran == ["block 2"]
    for handle in handles:
        handle.remove()


def test_hooks_are_gone_afterwards(student: Student) -> None:
    before = hook_count(student)
    capture(student, EXAMPLES)
    assert hook_count(student) == before
    with pytest.raises(IndexError):
        capture(student, [Encoded([10**6], 0, ["text"], [False])])
    assert hook_count(student) == before


def test_the_student_still_works_after_a_capture(student: Student) -> None:
    ids = torch.tensor([encode(student, EXAMPLES[0]).ids])
    with torch.no_grad():
        before = student.model(ids).logits
        capture(student, EXAMPLES, [0])
        assert torch.equal(student.model(ids).logits, before)


def test_a_bare_prompt_has_no_response(llama: Student) -> None:
    expected = r"matches no token of text 1, '<s><\|user\|>hi<\|end\|>.*'; a bare prompt has no"
    with pytest.raises(SelectorError, match=expected):
        capture(llama, [EXAMPLES[0], Prompt.chat("hi")])


def test_an_error_shows_the_ends_of_a_long_text(llama: Student) -> None:
    with pytest.raises(SelectorError, match=r"text 0, '<s><\|user\|>aaa\w+…\w+cc<\|end\|>.*'; a"):
        capture(llama, [Prompt.chat("a" * 100 + "c" * 100)], selector="position[500:]")


@pytest.mark.parametrize("reduce", ["first", "median", ""])
def test_an_unknown_reduce(llama: Student, reduce: Any) -> None:
    message = f"Unknown reduce '{reduce}'; it is mean or last"
    with pytest.raises(SelectorError, match=message):
        capture(llama, EXAMPLES, reduce=reduce)
    with pytest.raises(SelectorError, match=message):
        capture_group_moments(llama, [EXAMPLES], reduce=reduce)
    with pytest.raises(SelectorError, match="Unknown reduce None"):
        capture(llama, EXAMPLES, reduce=None)  # type: ignore[arg-type]


def test_values_say_what_they_were_read_from(llama: Student) -> None:
    found = capture(llama, EXAMPLES, [1], "user[0:2]", reduce="last")
    assert found.read == ReadAs("user[0:2]", "last")
    assert capture(llama, EXAMPLES, [1], parse("user[0:2]")).read == ReadAs("user[0:2]", "mean")
    assert capture_moments(llama, EXAMPLES, [1]).read == ReadAs("all", None)


def test_layers_that_do_not_exist(llama: Student) -> None:
    with pytest.raises(StudentError, match="Layer 3 does not exist"):
        capture(llama, EXAMPLES, [0, 3])


def test_texts_longer_than_the_context(llama: Student) -> None:
    limit = llama.context_length
    assert limit is not None
    with pytest.raises(StudentError, match=f"Text 1 has .* tokens, but .* reads {limit}"):
        capture(llama, [EXAMPLES[0], Prompt.raw("a" * (limit + 1))], selector="all")


def test_no_texts(llama: Student) -> None:
    assert capture(llama, []).values.shape == (BLOCKS, 0, WIDTH)


def test_real_models(real_student: Student) -> None:
    prompts = [Prompt.raw("Once upon a time"), Prompt.raw("The cat sat on the mat and")]
    found = capture(real_student, prompts, [-1, 2], "prompt")
    for n, prompt in enumerate(prompts):
        row = encode(real_student, prompt)
        expected = residuals(real_student, row)[[0, 3], 1:].mean(1)
        torch.testing.assert_close(found.values[:, n], expected, atol=1e-5, rtol=1e-5)
