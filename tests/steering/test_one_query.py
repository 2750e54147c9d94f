"""Attention of one new token a row is torch's own, by another way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from selfsteer.steering import one_query
from selfsteer.steering.cache import decoding_cache
from selfsteer.steering.generate import generate
from selfsteer.steering.one_query import OneQueryKeys
from selfsteer.steering.prompts import Prompt
from tests.steering.families import family_student
from tests.steering.students import build_student


def states(
    rows: int, heads: int, groups: int, seen: int, queries: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(rows + 10 * heads + 100 * seen)
    query = torch.randn(rows, heads * groups, queries, 8, generator=draw)
    keys, values = torch.randn(2, rows, heads, seen, 8, generator=draw)
    return query, keys, values


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 9),
    st.sampled_from(["none", "seen", "weights"]),
    st.sampled_from([None, 0.1, 2.0]),
)
def test_it_is_what_torch_computes(
    rows: int, heads: int, groups: int, seen: int, mask: str, scale: float | None
) -> None:
    query, keys, values = states(rows, heads, groups, seen)
    given: dict[str, Any] = {"scale": scale, "enable_gqa": groups > 1}
    if mask == "seen":  # pads on the left
        given["attn_mask"] = (
            torch.arange(seen) >= torch.arange(rows)[:, None].clamp(max=seen - 1)
        )[:, None, None]
    if mask == "weights":
        given["attn_mask"] = torch.randn(rows, heads * groups if groups == 1 else 1, 1, seen)
    expected = scaled_dot_product_attention(query, keys, values, **given)
    found = scaled_dot_product_attention(query, keys.as_subclass(OneQueryKeys), values, **given)
    assert type(found) is Tensor
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_query_heads_may_be_packed_beside_one_another() -> None:
    """As transformers packs those that share a head of keys."""
    query, keys, values = states(3, 2, 1, 6, queries=4)
    mask = torch.arange(6) >= torch.tensor([0, 1, 5])[:, None]
    expected = scaled_dot_product_attention(query, keys, values, attn_mask=mask[:, None, None])
    found = one_query.attention(query, keys, values, mask[:, None, None])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("arguments", [(None, 0.0, True), (None, 0.0, False)])
def test_what_is_given_by_place_stays_with_torch(arguments: tuple[Any, ...]) -> None:
    query, keys, values = states(2, 2, 1, 5, queries=5)
    expected = scaled_dot_product_attention(query, keys, values, *arguments)
    lazy = keys.as_subclass(OneQueryKeys)
    assert torch.equal(scaled_dot_product_attention(query, lazy, values, *arguments), expected)


def test_causal_attention_and_dropout_stay_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_query, "attention", None)
    query, keys, values = states(2, 2, 1, 5, queries=5)
    lazy = keys.as_subclass(OneQueryKeys)
    causal = scaled_dot_product_attention(query, lazy, values, is_causal=True)
    assert torch.equal(causal, scaled_dot_product_attention(query, keys, values, is_causal=True))
    dropped = scaled_dot_product_attention(query, lazy, values, dropout_p=1.0)
    assert not dropped.any()


def test_anything_else_gives_plain_tensors() -> None:
    _, keys, _ = states(2, 2, 1, 5)
    lazy = keys.as_subclass(OneQueryKeys)
    for found, expected in ((lazy + 1, keys + 1), (lazy[:, :1], keys[:, :1]), (lazy.mT, keys.mT)):
        assert type(found) is Tensor
        assert torch.equal(found, expected)
    assert lazy.shape == keys.shape


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "phi3", "gpt-neox", "falcon"])
def test_many_rows_are_decoded_with_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only they; their logits are those of rows decoded alone."""
    student = family_student(name)
    calls: list[int] = []
    attend = one_query.attention

    def counted(*args: Any, **given: Any) -> Tensor:
        calls.append(1)
        return attend(*args, **given)

    monkeypatch.setattr(one_query, "attention", counted)
    prompts = [Prompt.raw("the red fox " * (1 + i % 3)) for i in range(32)]
    arguments: dict[str, Any] = {"max_new_tokens": 6, "temperature": 0, "watch": [5, 9]}
    alone = [generate(student, [prompt], **arguments)[0] for prompt in prompts[:3]]
    assert not calls
    together = generate(student, prompts, **arguments)
    assert bool(calls) is (student.model.config._attn_implementation == "sdpa")
    for one, other in zip(alone, together, strict=False):
        assert one.ids == other.ids
        torch.testing.assert_close(
            torch.tensor(one.watched), torch.tensor(other.watched), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize(("rows", "dtype"), [(2, torch.float32), (64, torch.bfloat16)])
def test_few_rows_and_narrow_types_are_left_to_torch(rows: int, dtype: torch.dtype) -> None:
    """Products would round the scores to the narrow type; the fused kernel does not."""
    cache = decoding_cache(build_student("llama"), 4)
    cache.update(*torch.randn(2, rows, 2, 3, 4).to(dtype), 0)
    keys, _ = cache.update(*torch.randn(2, rows, 2, 1, 4).to(dtype), 0)
    assert type(keys) is Tensor
