"""Tiny random students, built in memory, and a plain reference for what steering must give."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

from selfsteer.steering.capture import capture
from selfsteer.steering.encoding import Encoded, encode
from selfsteer.steering.gates import Gate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.schedules import Schedule
from selfsteer.steering.selectors import parse
from selfsteer.steering.vectors import SteeringVector

SPECIAL = ("<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "<s>{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
FAMILIES = ("llama", "mistral", "gpt2")
WIDTH, BLOCKS, WINDOW = 32, 3, 16
# Of different lengths, two of them equal.
PROMPTS = [Prompt.chat("ab" * n, system="s" * (n % 3 + 1)) for n in (1, 14, 4, 9, 4, 2)]


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


def build_edits(student: Student, layer: int) -> list[Edit]:
    """An edit with every operator at a layer."""
    one, two, three = (build_vector(student, seed=seed) for seed in range(3))
    point = build_vector(student, seed=3)
    at = (layer,)
    return [
        Edit(one, at, 0.8),
        Edit(two, at, 0.7, "ablate"),
        Edit(one, at, 1.0, "ablate", others=(two, three)),
        Edit(one, at, 0.5, "clamp"),
        Edit(two, at, 0.3, "floor"),
        Edit(two, at, -0.3, "ceiling"),
        Edit(one, at, 0.6, "rotate"),
        Edit(one, at, -0.6, "rotate"),
        Edit(two, at, 0.9, "rotate_to"),
        Edit(one, at, 1.2, "rotate_in_plane", others=(two,)),
        Edit(one, at, 0.4, "rotate_in_plane_to", others=(three,)),
        Edit(one, at, 0.6, "swap", others=(two,)),
        Edit(one, at, 0.7, "erase", others=(one + two,)),
        Edit(one, at, 1.0, "erase", others=(two, one + three, two + point, point)),
    ]


def splitting_gate(
    student: Student, prompts: Sequence[Prompt], layers: tuple[int, ...] = (0,), **options: Any
) -> Gate:
    """A gate that opens for about half of the prompts, its threshold far from every score."""
    draft = Gate(build_vector(student, seed=7), layers, 0.0, **options)
    values = capture(student, prompts, layers, draft.selector).values
    scores = draft.scores(values).sort().values
    quarter = len(scores) // 4
    gaps = scores.diff()[quarter : len(scores) - 1 - quarter]
    assert gaps.max() > 1e-3, "no threshold would be safe against rounding"
    at = quarter + int(gaps.argmax())
    return replace(draft, threshold=float(scores[at : at + 2].mean()))


def mixed_plans(student: Student, prompts: Sequence[Prompt]) -> list[Plan]:
    """Every operator, and gates, schedules and the modifier in every combination that matters:
    different ones in each slot, so that they meet in one batch."""
    last = student.n_layers - 1
    one, two = build_vector(student), build_vector(student, seed=1)
    gates = [
        splitting_gate(student, prompts),
        splitting_gate(student, prompts, (-1, 1), signed=True),
        splitting_gate(student, prompts, (0, 1), above=False, selector="user"),
    ]
    schedules = [Schedule("linear", 6), Schedule("exponential", 2.5), Schedule("first", 3)]
    alone = [Plan((edit,)) for edit in build_edits(student, 1)]
    kept = [Plan((replace(edit, norm_preserving=True),)) for edit in build_edits(student, last)]
    gated = [
        Plan((replace(edit, gate=gates[i % 3], layers=(1, last)),))
        for i, edit in enumerate(build_edits(student, 1))
    ]
    scheduled = [
        Plan((replace(edit, schedule=schedules[i % 3], norm_preserving=i % 4 == 0),))
        for i, edit in enumerate(build_edits(student, last))
    ]
    a = Edit(one, (1, last), 0.5, gate=gates[0], schedule=schedules[0], selector="response[1:]")
    b = Edit(two, (last,), 0.8, "ablate", "all + special", gate=gates[1], norm_preserving=True)
    c = Edit(two, (-1,), 0.3, "rotate", "last + response", schedule=schedules[1])
    d = Edit(one, (1,), 0.4, "clamp", "user + response[2:5]", gate=gates[2])
    return [*alone, *kept, *gated, *scheduled, Plan((a, b)), Plan((b, a)), Plan((c, d, a))]


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
    met: dict[Gate, bool] = {}

    def edited(layer: int, hidden: Tensor) -> Tensor:
        for gate in {edit.gate for edit in plan.edits if edit.gate is not None}:
            if layer in gate.layers:
                met[gate] = met.get(gate, False) or _passes(gate, layer, row, hidden[0])
        hidden = hidden.clone()
        for edit in plan.edits:
            if layer not in edit.layers or not (edit.gate is None or met[edit.gate]):
                continue
            for t in parse(edit.selector).mask(row).nonzero()[0]:
                hidden[0, t] = reference_edit(edit, layer, hidden[0, t], _share(edit, row, t))
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


def reference_edit(edit: Edit, layer: int, token: Tensor, share: float = 1.0) -> Tensor:
    """[D] one token's activation after one edit, in float64; `share` is what a schedule leaves."""
    x = token.double()
    raw = [v.directions[layer].double() for v in edit.vectors]
    u = raw[0] / raw[0].norm()
    norm, dose = edit.vector.residual_norms[layer], edit.strength * share
    target = edit.strength * norm - x @ u
    match edit.operator:
        case "add":
            y = x + dose * norm * u
        case "ablate":
            basis = _gram_schmidt(raw)
            y = x - dose * sum((x @ b) * b for b in basis)
        case "clamp":
            y = x + share * target * u
        case "floor":
            y = x + share * max(target, 0.0) * u
        case "ceiling":
            y = x + share * min(target, 0.0) * u
        case "rotate":
            angle = torch.acos(x @ u / x.norm()) - dose
            y = _at_angle(x, u, float(angle.clamp(0, math.pi)))
        case "rotate_to":
            y = x + share * (_at_angle(x, u, edit.strength) - x)
        case "rotate_in_plane":
            b1, b2 = _gram_schmidt(raw)
            p1, p2 = x @ b1, x @ b2
            rest = x - p1 * b1 - p2 * b2
            y = rest + (p1 * math.cos(dose) - p2 * math.sin(dose)) * b1
            y = y + (p1 * math.sin(dose) + p2 * math.cos(dose)) * b2
        case "rotate_in_plane_to":
            b1, b2 = _gram_schmidt(raw)
            inside = (x @ b1) * b1 + (x @ b2) * b2
            there = math.cos(edit.strength) * b1 + math.sin(edit.strength) * b2
            y = x + share * (inside.norm() * there - inside)
        case "swap":
            y = x + dose * (raw[0] - raw[1])
        case "erase":
            half = len(raw) // 2
            left, right = torch.stack(raw[:half]), torch.stack(raw[half : 2 * half])
            stays = raw[-1] if len(raw) % 2 else torch.zeros_like(x)
            y = x - dose * left.T @ torch.linalg.inv(right @ left.T) @ right @ (x - stays)
        case other:
            raise AssertionError(f"no reference for {other}")
    if edit.norm_preserving:
        y = y * x.norm() / y.norm()
    return y.to(token.dtype)


def _at_angle(x: Tensor, u: Tensor, angle: float) -> Tensor:
    across = x - (x @ u) * u
    return x.norm() * (math.cos(angle) * u + math.sin(angle) * across / across.norm())


def _gram_schmidt(raw: list[Tensor]) -> list[Tensor]:
    basis: list[Tensor] = []
    for v in raw:
        rest = v - sum(((v @ b) * b for b in basis), torch.zeros_like(v))
        basis.append(rest / rest.norm())
    return basis


def _share(edit: Edit, row: Encoded, t: int) -> float:
    """What the schedule leaves at token t: full at the prompt, then by ordinary reply tokens."""
    if edit.schedule is None or t < row.prompt_length:
        return 1.0
    n = sum(not special for special in row.special[row.prompt_length : t])
    scale = edit.schedule.tokens
    return {
        "linear": max(0.0, 1 - n / scale),
        "exponential": 0.5 ** (n / scale),
        "first": float(n < scale),
    }[edit.schedule.shape]


def _passes(gate: Gate, layer: int, row: Encoded, hidden: Tensor) -> bool:
    """Whether sim(h, proj_c h) passes at one layer, h the mean over the prompt's tokens."""
    n = row.prompt_length
    prompt = Encoded(row.ids[:n], n, row.roles[:n], row.special[:n])
    h = hidden[parse(gate.selector).mask(prompt).nonzero()[0]].double().mean(0)
    c = gate.condition.directions[layer].double()
    projection = torch.outer(c, c) @ h / (c @ c)
    against = c if gate.signed else projection
    similarity = float(h @ against / (h.norm() * against.norm()))
    return similarity > gate.threshold if gate.above else similarity < gate.threshold


def hook_count(student: Student) -> int:
    """Hooks that stand on any module of the student."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in student.model.modules())
