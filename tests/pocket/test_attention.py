"""The training attention gives what the library's own attention gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import MistralForCausalLM
from transformers.masking_utils import create_sliding_window_causal_mask

from selfsteer.pocket.attention import band_mask
from selfsteer.pocket.model import WINDOW, build_model, packed_hidden, use_banded_attention

LENGTHS = (37, 5, 61, 16, 9)  # of documents in one row of 128 tokens


@pytest.fixture
def model() -> MistralForCausalLM:
    model = build_model(48, bos=1, end=2, pad=0, seed=3)
    # Large weights make attention sharp, so that one key too many or too few shows.
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    return model.eval()


def row() -> tuple[Tensor, Tensor]:
    ids = torch.randint(3, 48, (1, 128), generator=torch.Generator().manual_seed(0))
    documents = torch.cat([torch.full((n,), i) for i, n in enumerate(LENGTHS)])
    return ids, documents[None]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_packed_logits_equal_those_of_each_document_alone(
    model: MistralForCausalLM, implementation: str
) -> None:
    ids, documents = row()
    with torch.no_grad():
        model.set_attn_implementation(implementation)
        alone = [model(input_ids=part).logits for part in ids.split(LENGTHS, dim=1)]
        use_banded_attention(model)
        packed = model.lm_head(packed_hidden(model, ids, documents))
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_the_library(model: MistralForCausalLM) -> None:
    ids, _ = row()

    def gradient(hidden: Tensor) -> Tensor:
        model.zero_grad()
        hidden.square().mean().backward()
        weight = model.model.layers[0].self_attn.k_proj.weight
        assert weight.grad is not None
        return weight.grad.clone()

    model.set_attn_implementation("eager")
    expected = gradient(model.model(input_ids=ids).last_hidden_state)
    use_banded_attention(model)
    actual = gradient(packed_hidden(model, ids, torch.zeros_like(ids)))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


def test_the_band_is_the_window_of_the_library(model: MistralForCausalLM) -> None:
    length = 4 * WINDOW
    model.set_attn_implementation("eager")
    library = create_sliding_window_causal_mask(
        config=model.config,
        inputs_embeds=torch.zeros(1, length, 1),
        attention_mask=None,
        past_key_values=None,
    )
    band = band_mask(torch.zeros(1, length, dtype=torch.long), WINDOW)
    seen = torch.zeros(length, length + WINDOW, dtype=torch.bool)
    for block in range(4):
        start = block * WINDOW
        seen[start : start + WINDOW, start : start + 2 * WINDOW] = band[0, 0, block]
    assert torch.equal(seen[:, WINDOW:], library[0, 0] == 0)
    assert seen.sum(dim=1).tolist() == [min(q + 1, WINDOW) for q in range(length)]


def test_a_row_must_divide_into_blocks() -> None:
    with pytest.raises(ValueError, match="40 tokens"):
        band_mask(torch.zeros(1, 40, dtype=torch.long), 16)
