"""Pocket's architecture: a small Mistral whose window is so short that attributes must travel.

A token sees the 15 before it, so a mood asked for in the system prompt reaches the tenth sentence
only if the blocks hand it on in the residual stream. That is what makes the model steerable by
plain difference vectors, as large models are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, MistralConfig, MistralForCausalLM

from selfsteer.pocket.attention import BANDED, band_mask
from selfsteer.pocket.noise import Noise

WINDOW = 16


def build_model(vocabulary: int, *, bos: int, end: int, pad: int, seed: int) -> MistralForCausalLM:
    """A freshly initialised Pocket (about 2.5 M parameters, float32), set up for training."""
    config = MistralConfig(
        vocab_size=vocabulary,
        hidden_size=160,
        intermediate_size=480,
        num_hidden_layers=6,
        num_attention_heads=5,
        num_key_value_heads=5,
        head_dim=32,
        sliding_window=WINDOW,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        # Wavelengths beyond the window tell positions apart that no query sees together.
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        bos_token_id=bos,
        eos_token_id=end,
        pad_token_id=pad,
    )
    torch.manual_seed(seed)
    model = MistralForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=bos, eos_token_id=end, pad_token_id=pad, do_sample=True, temperature=0.8
    )
    return model


def packed_hidden(
    model: MistralForCausalLM, ids: Tensor, documents: Tensor, noise: Noise | None = None
) -> Tensor:
    """Final hidden states [B, T, D] of packed rows; the model must use banded attention."""
    band = band_mask(documents, WINDOW)
    hidden: Tensor = model.model(
        input_ids=ids, use_cache=False, band=band, noise=noise
    ).last_hidden_state
    return hidden


def use_banded_attention(model: MistralForCausalLM) -> None:
    """Switch a model to the training attention, in place."""
    model.set_attn_implementation(BANDED)


def label_loss(
    hidden: Tensor, head: Tensor, targets: Tensor, positions: Tensor, weights: Tensor
) -> Tensor:
    """Weighted mean cross-entropy in nats, with logits for the labelled positions only.

    Args:
        hidden: [B, T, D].
        head: output matrix [V, D].
        targets: [N] token ids.
        positions: [N] indices into the flattened [B * T] positions that predict them.
        weights: [N] positive.
    """
    logits = hidden.flatten(0, 1)[positions] @ head.T
    return (F.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
