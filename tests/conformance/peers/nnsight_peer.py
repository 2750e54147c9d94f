"""Every operator as an edit in an nnsight trace. Runs in nnsight's environment.

The formulas stand here a second time on purpose: they are what the operators are held against. An
operator takes one line in `FORMULAS`.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
from nnsight import NNsight
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaForCausalLM


def unit(direction: Tensor) -> Tensor:
    """Length 1."""
    return direction / direction.norm()


def add(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """Strength is in residual norms."""
    return hidden + strength * norm * unit(vectors[0])


def ablate(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """Strength is the fraction of the projection on the span that goes."""
    span = torch.stack(vectors)
    projected = torch.linalg.lstsq(span.T, hidden.flatten(0, -2).T).solution.T @ span
    return hidden - strength * projected.view_as(hidden)


def clamp(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """The projection becomes the strength, in residual norms."""
    along = hidden @ unit(vectors[0])
    return hidden + (strength * norm - along)[..., None] * unit(vectors[0])


def floor(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """The projection becomes no less than the strength."""
    along = hidden @ unit(vectors[0])
    return hidden + (along.clamp(min=strength * norm) - along)[..., None] * unit(vectors[0])


def ceiling(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """The projection becomes no more than the strength."""
    along = hidden @ unit(vectors[0])
    return hidden + (along.clamp(max=strength * norm) - along)[..., None] * unit(vectors[0])


def rotate_to(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """On the great circle through the activation and the direction, at an angle from the latter."""
    axis = unit(vectors[0])
    length = hidden.norm(dim=-1, keepdim=True)
    across = hidden - (hidden @ axis)[..., None] * axis
    across = across / across.norm(dim=-1, keepdim=True)
    return length * (math.cos(strength) * axis + math.sin(strength) * across)


def rotate(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """The angle to the direction becomes smaller by the strength, but not negative."""
    axis = unit(vectors[0])
    length = hidden.norm(dim=-1, keepdim=True)
    along = (hidden @ axis)[..., None]
    angle = torch.acos(along / length) - strength
    angle = angle.clamp(0, math.pi)
    across = hidden - along * axis
    across = across / across.norm(dim=-1, keepdim=True)
    return length * (angle.cos() * axis + angle.sin() * across)


def plane(vectors: list[Tensor]) -> tuple[Tensor, Tensor]:
    """An orthonormal basis: the first direction, and what the second has outside it."""
    first = unit(vectors[0])
    return first, unit(vectors[1] - (vectors[1] @ first) * first)


def rotate_in_plane(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """The part in the plane turns by the strength."""
    first, second = plane(vectors)
    turn = torch.eye(hidden.shape[-1])
    turn = turn - torch.outer(first, first) - torch.outer(second, second)
    turn = turn + math.cos(strength) * (torch.outer(first, first) + torch.outer(second, second))
    turn = turn + math.sin(strength) * (torch.outer(second, first) - torch.outer(first, second))
    return hidden @ turn.T


def rotate_in_plane_to(
    hidden: Tensor, vectors: list[Tensor], strength: float, norm: float
) -> Tensor:
    """The part in the plane comes to lie at an angle; its length and all outside stay."""
    first, second = plane(vectors)
    x, y = (hidden @ first)[..., None], (hidden @ second)[..., None]
    outside = hidden - x * first - y * second
    length = (x * x + y * y).sqrt()
    return outside + length * (math.cos(strength) * first + math.sin(strength) * second)


def swap(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """The target in place of the source, both with their own lengths."""
    target, source = vectors
    return hidden + strength * (target - source)


def erase(hidden: Tensor, vectors: list[Tensor], strength: float, norm: float) -> Tensor:
    """A part of what the second group sees, from the last one on, goes along the first group."""
    half = len(vectors) // 2
    taken, measuring = torch.stack(vectors[:half]), torch.stack(vectors[half : 2 * half])
    projection = taken.T @ torch.linalg.inv(measuring @ taken.T) @ measuring
    point = vectors[-1] if len(vectors) % 2 else 0.0
    return hidden - strength * (hidden - point) @ projection.T


FORMULAS = {
    f.__name__: f
    for f in (
        *(add, ablate, clamp, floor, ceiling, swap, erase),
        *(rotate, rotate_to, rotate_in_plane, rotate_in_plane_to),
    )
}


def edited(hidden: Tensor, edit: dict, directions: dict[str, Tensor]) -> Tensor:
    """The activation [1, T, D] after one edit, its norm kept where that is asked for."""
    vectors = [directions[f"{name}.{edit['layer']}"] for name in edit["vectors"]]
    moved = FORMULAS[edit["operator"]](hidden, vectors, edit["strength"], edit["norm"])
    if edit["norm_preserving"]:
        moved = moved / moved.norm(dim=-1, keepdim=True) * hidden.norm(dim=-1, keepdim=True)
    return moved


def similarity(hidden: Tensor, gate: dict, directions: dict[str, Tensor]) -> Tensor:
    """Size of the cosine between the mean over all tokens and the condition."""
    mean = hidden[0].mean(0)
    condition = directions[f"{gate['condition']}.{gate['layers'][0]}"]
    return torch.cosine_similarity(mean, condition, dim=0).abs()


def steered(
    model: NNsight, ids: Tensor, edits: list[dict], directions: dict[str, Tensor]
) -> Tensor:
    """Logits [T, V] with the edits made one after the other."""
    gate = next((edit["gate"] for edit in edits if edit["gate"]), None)
    touched = {edit["layer"] for edit in edits} | set(gate["layers"] if gate else ())
    with torch.no_grad(), model.trace(ids):
        for layer in sorted(touched):
            # -1 is the embedding output; blocks give a bare tensor.
            module = model.model.embed_tokens if layer == -1 else model.model.layers[layer]
            hidden = module.output
            if gate and layer == gate["layers"][0]:
                passed = similarity(hidden, gate, directions) > gate["threshold"]
            for edit in edits:
                if edit["layer"] != layer:
                    continue
                moved = edited(hidden, edit, directions)
                hidden = torch.where(passed, moved, hidden) if edit["gate"] else moved
            module.output = hidden
        logits = model.lm_head.output.save()
    return logits[0]


def main(world: Path) -> None:
    """Read the task and the directions in `world`, write `world/nnsight.safetensors`."""
    task = json.loads((world / "world.json").read_text())
    directions = load_file(world / "directions.safetensors")
    llama = LlamaForCausalLM.from_pretrained(world / "student").eval()
    ids = torch.tensor([task["ids"]])
    with torch.no_grad():
        out = {"logits.plain": llama(ids).logits[0]}
    model = NNsight(llama)
    for name, edits in task["edits"].items():
        if all(edit["operator"] in FORMULAS for edit in edits):
            out[name] = steered(model, ids, edits, directions)
    save_file(
        {name: value.contiguous() for name, value in out.items()}, world / "nnsight.safetensors"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
