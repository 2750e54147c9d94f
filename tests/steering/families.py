"""One tiny random model of every family that the guide promises, each from its own config."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from selfsteer.steering.model import Student
from tests.steering.students import BLOCKS, SPECIAL, WIDTH, build_tokenizer

WINDOW = 8  # of sliding attention and chunked scans: shorter than the rows of the tests
IMAGE = len(SPECIAL) + 256  # a token that no text has

_COMMON = {
    "vocab_size": IMAGE + 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.3,  # large enough for every token to matter
}
_SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
_TEXT = _COMMON | _SIZES | {"num_key_value_heads": 2}
_OLD = _COMMON | {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 4, "n_positions": 256}
_EXPERTS = {
    "num_experts": BLOCKS,  # as many as there are blocks, which must not confuse the search
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}
_GEMMA = _TEXT | {
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
    "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
_STATE = _COMMON | {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "state_size": 4}
_HYBRID = ["linear_attention", "full_attention", "linear_attention"]
# A vision tower with as many blocks, and wider ones, than the language model beside it.
_VISION = {
    "hidden_size": 2 * WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


@dataclass(frozen=True)
class Family:
    """How to build a model, and where its decoder blocks are known to be."""

    config: str
    arguments: dict[str, Any]
    blocks: str = "model.layers"


FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaConfig", _TEXT),
    "qwen2": Family(
        "Qwen2Config",
        _TEXT | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": Family("Qwen3Config", _TEXT | {"head_dim": 8}),
    "qwen2-moe": Family("Qwen2MoeConfig", _TEXT | _EXPERTS),
    "qwen3-moe": Family("Qwen3MoeConfig", _TEXT | _EXPERTS | {"head_dim": 8}),
    "mistral": Family("MistralConfig", _TEXT | {"sliding_window": WINDOW}),
    "mixtral": Family("MixtralConfig", _TEXT | {"num_local_experts": BLOCKS}),
    "gemma2": Family("Gemma2Config", _GEMMA),
    "gemma3": Family("Gemma3TextConfig", _GEMMA),
    "phi3": Family("Phi3Config", _TEXT),
    "gpt2": Family("GPT2Config", _OLD, "transformer.h"),
    "gptj": Family("GPTJConfig", _OLD | {"rotary_dim": 4}, "transformer.h"),
    "gpt-neox": Family("GPTNeoXConfig", _COMMON | _SIZES, "gpt_neox.layers"),
    "gpt-neo": Family(
        "GPTNeoConfig",
        _COMMON
        | {
            "hidden_size": WIDTH,
            "num_layers": BLOCKS,
            "num_heads": 4,
            "max_position_embeddings": 256,
            "attention_types": [[["global", "local", "global"], 1]],
            "window_size": WINDOW,
        },
        "transformer.h",
    ),
    "opt": Family(
        "OPTConfig",
        _COMMON | _SIZES | {"ffn_dim": 48, "word_embed_proj_dim": 24, "init_std": 0.3},
        "model.decoder.layers",
    ),
    "falcon": Family("FalconConfig", _COMMON | _SIZES, "transformer.h"),
    "falcon-alibi": Family("FalconConfig", _COMMON | _SIZES | {"alibi": True}, "transformer.h"),
    "bloom": Family(
        "BloomConfig",
        _COMMON | {"hidden_size": WIDTH, "n_layer": BLOCKS, "n_head": 4},
        "transformer.h",
    ),
    "mpt": Family(
        "MptConfig",
        _COMMON | {"d_model": WIDTH, "n_layers": BLOCKS, "n_heads": 4, "max_seq_len": 256},
        "transformer.blocks",
    ),
    "olmo": Family("OlmoConfig", _TEXT),
    "olmo2": Family("Olmo2Config", _TEXT),
    "mamba": Family("MambaConfig", _STATE, "backbone.layers"),
    "mamba2": Family(
        "Mamba2Config",
        _STATE | {"num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": WINDOW},
        "backbone.layers",
    ),
    "falcon-h1": Family(
        "FalconH1Config",
        _TEXT
        | {
            "head_dim": 8,
            "mamba_d_ssm": 64,
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 4,
            "mamba_chunk_size": WINDOW,
        },
    ),
    "jamba": Family(
        "JambaConfig",
        _TEXT
        | {
            "num_experts": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 4,
            "mamba_dt_rank": 4,
        },
    ),
    "qwen3-next": Family(
        "Qwen3NextConfig",
        _TEXT
        | _EXPERTS
        | {
            "head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "layer_types": _HYBRID,
            # At 0.3 its own float32 forward is off by 4e-4 from that in float64.
            "initializer_range": 0.2,
        },
    ),
    "gemma3-vision": Family(
        "Gemma3Config",
        {
            "text_config": _GEMMA,
            "vision_config": _VISION,
            "mm_tokens_per_image": 4,
            "image_token_index": IMAGE,
            "boi_token_index": IMAGE + 1,
            "eoi_token_index": IMAGE + 2,
        },
        "model.language_model.layers",
    ),
    "llava": Family(
        "LlavaConfig",
        {
            "text_config": _TEXT | {"model_type": "llama"},
            "vision_config": _VISION | {"model_type": "clip_vision_model"},
            "image_token_index": IMAGE,
        },
        "model.language_model.layers",
    ),
    "qwen2-vl": Family(
        "Qwen2VLConfig",
        {
            "text_config": _TEXT
            | {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
            "vision_config": {
                "depth": BLOCKS,
                "embed_dim": 2 * WIDTH,
                "hidden_size": WIDTH,
                "num_heads": 2,
                "patch_size": 8,
            },
            "image_token_id": IMAGE,
            "video_token_id": IMAGE + 1,
            "vision_start_token_id": IMAGE + 2,
            "vision_end_token_id": IMAGE + 3,
        },
        "model.language_model.layers",
    ),
}
# They keep their state outside the cache: read and scored, but not generated from.
STATE_ELSEWHERE: dict[str, Family] = {
    "recurrent-gemma": Family(
        "RecurrentGemmaConfig",
        _TEXT
        | {
            "lru_width": WIDTH,
            "attention_window_size": WINDOW,
            "block_types": ["recurrent", "attention"],
        },
    ),
    "rwkv": Family(
        "RwkvConfig",
        _COMMON
        | {
            "hidden_size": WIDTH,
            "num_hidden_layers": BLOCKS,
            "attention_hidden_size": WIDTH,
            "context_length": 256,
        },
        "rwkv.blocks",
    ),
}


def family_model(family: Family) -> Any:
    """A random model of the family."""
    config = getattr(transformers, family.config)(**family.arguments)
    torch.manual_seed(0)
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    return (AutoModelForCausalLM if causal else AutoModelForImageTextToText).from_config(config)


def altered_student(name: str, **arguments: Any) -> Student:
    """The random student of a family with other arguments of its config."""
    family = FAMILIES[name]
    model = family_model(replace(family, arguments=family.arguments | arguments))
    return Student.wrap(model, build_tokenizer(), f"tiny-{name}")


def narrow_student(name: str, context: int) -> Student:
    """The random student of a family with so many positions."""
    known = ("n_positions", "max_position_embeddings", "max_seq_len")
    return altered_student(
        name, **{key: context for key in known if key in FAMILIES[name].arguments}
    )


@cache
def family_student(name: str) -> Student:
    """The random student of the family of this name, with the character tokenizer."""
    model = family_model((FAMILIES | STATE_ELSEWHERE)[name])
    return Student.wrap(model, build_tokenizer(), f"tiny-{name}")
