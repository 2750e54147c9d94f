"""Every operator as an edit in an nnsight trace. Runs in nnsight's environment.

The formulas stand here a second time on purpose: they are what the operators are held against. An
operator takes one line in `FORMULAS`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from nnsight import NNsight
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaForCausalLM


def add(hidden: Tensor, direction: Tensor, strength: float, norm: float) -> Tensor:
    """Strength is in residual norms."""
    return hidden + strength * norm * direction


def ablate(hidden: Tensor, direction: Tensor, strength: float, norm: float) -> Tensor:
    """Strength is the fraction of the projection that goes."""
    return hidden - strength * (hidden @ direction)[..., None] * direction


FORMULAS = {"add": add, "ablate": ablate}


def steered(
    model: NNsight, ids: Tensor, edits: list[dict], directions: dict[str, Tensor]
) -> Tensor:
    """Logits [T, V] with the edits made one after the other."""
    by_layer = {layer: [e for e in edits if e["layer"] == layer] for layer in range(-1, 99)}
    with torch.no_grad(), model.trace(ids):
        for layer, here in by_layer.items():
            if not here:
                continue
            # -1 is the embedding output; blocks give a bare tensor.
            module = model.model.embed_tokens if layer == -1 else model.model.layers[layer]
            hidden = module.output
            for edit in here:
                direction = directions[f"direction.{layer}"]
                formula = FORMULAS[edit["operator"]]
                hidden = formula(hidden, direction, edit["strength"], edit["norm"])
            module.output = hidden
        logits = model.lm_head.output.save()
    return logits[0]


def main(world: Path) -> None:
    """Read `world/world.json` and `world/units.safetensors`, write `world/nnsight.safetensors`."""
    task = json.loads((world / "world.json").read_text())
    directions = load_file(world / "units.safetensors")
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
