"""Tiny random students, built in memory, and a plain reference for what steering must give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
)

from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.selectors import parse
from selfsteer.steering.vectors import SteeringVector

SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "<s>{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
FAMILIES = ("llama", "mistral", "gpt2")
WIDTH, BLOCKS, WINDOW = 32, 3, 16


def build_tokenizer(template: str | None = TEMPLATE) -> Any:
    """Byte-level, no merges: every character is a token, so that lengths are easy to foresee."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevel()
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=list(SPECIAL[3:]),
    )
    tokenizer.chat_template = template
    return tokenizer


def build_model(family: str, **overrides: Any) -> Any:
    """A random model whose weights are large enough for every token to matter."""
    common = {"vocab_size": len(SPECIAL) + 256, "bos_token_id": 1, "eos_token_id": 2}
    common["initializer_range"] = 0.3
    wide = {
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    config: Any
    if family == "llama":
        config = LlamaConfig(**(common | wide | overrides))
    elif family == "mistral":
        config = MistralConfig(**(common | wide | {"sliding_window": WINDOW} | overrides))
    else:
        narrow = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 4, "n_positions": 256}
        config = GPT2Config(**(common | narrow | overrides))
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def build_student(family: str = "llama", template: str | None = TEMPLATE, **config: Any) -> Student:
    """A random student with the character tokenizer."""
    return Student.wrap(build_model(family, **config), build_tokenizer(template), f"tiny-{family}")


def build_vector(student: Student, seed: int = 0, norm: float = 5.0) -> SteeringVector:
    """Random directions for all layers of a student, the embedding output included."""
    generator = torch.Generator().manual_seed(seed)
    layers = range(-1, student.n_layers)
    return SteeringVector(
        directions={k: torch.randn(student.d_model, generator=generator) for k in layers},
        residual_norms=dict.fromkeys(layers, norm),
        method="mean_difference",
        selector="response",
        concept=f"random {seed}",
        dataset_id="0" * 16,
        student_fingerprint=student.fingerprint,
    )


def grown(student: Student, prompt: Prompt, reply: list[int]) -> Encoded:
    """A prompt's row with the tokens of a reply behind it."""
    row = encode(student, prompt)
    return replace(
        row,
        ids=row.ids + reply,
        roles=row.roles + ["assistant"] * len(reply),
        special=row.special + [i in student.special_ids for i in reply],
    )


def reference_logits(student: Student, row: Encoded, plan: Plan) -> Tensor:
    """[T, V]: one row, no padding, no cache, edited token by token as the words say."""

    def edited(layer: int, hidden: Tensor) -> Tensor:
        hidden = hidden.clone()
        for edit in plan.edits:
            if layer not in edit.layers:
                continue
            direction = edit.vector.directions[layer]
            direction = (direction / direction.norm()).to(hidden.dtype)
            for t in parse(edit.selector).mask(row).nonzero()[0]:
                token = hidden[0, t]
                if edit.operator == "add":
                    token += edit.strength * edit.vector.residual_norms[layer] * direction
                else:
                    token -= edit.strength * (token @ direction) * direction
        return hidden

    def after(layer: int) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            if isinstance(output, Tensor):
                return edited(layer, output)
            return (edited(layer, output[0]), *output[1:])

        return hook

    def before(_module: Any, args: Any) -> Any:
        return (edited(-1, args[0]), *args[1:])

    handles = [student.layers[0].register_forward_pre_hook(before)]
    handles += [block.register_forward_hook(after(k)) for k, block in enumerate(student.layers)]
    try:
        with torch.no_grad():
            logits: Tensor = student.model(torch.tensor([row.ids]), use_cache=False).logits[0]
            return logits
    finally:
        for handle in handles:
            handle.remove()


def hook_count(student: Student) -> int:
    """Hooks that stand on any module of the student."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in student.model.modules())
