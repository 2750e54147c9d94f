"""What steering-vectors makes of the same student, texts and vector. Runs in its environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from steering_vectors import SteeringVector, train_steering_vector
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


def main(world: Path) -> None:
    """Read `world/world.json`, write `world/steering-vectors.safetensors` and a saved object."""
    task = json.loads((world / "world.json").read_text())
    model = LlamaForCausalLM.from_pretrained(world / "student").eval()
    # From the tokenizer's own file: settings of other versions of transformers do not load.
    file = str(world / "student" / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file, pad_token="<pad>")
    out: dict[str, torch.Tensor] = {}
    ids = torch.tensor([task["ids"]])
    with torch.no_grad():
        out["logits.plain"] = model(ids).logits[0].clone()

    pairs = [tuple(pair) for pair in task["pairs"]]
    found = train_steering_vector(model, tokenizer, pairs, read_token_index=-1, batch_size=4)
    for layer, direction in found.layer_activations.items():
        out[f"mean.{layer}"] = direction.clone()
    torch.save(found, world / "steering-vectors.pt")

    named = load_file(world / "vector.safetensors")
    ours = SteeringVector({int(name.split(".")[1]): named[name] for name in named})
    for name, vector in {"ours": ours, "theirs": found}.items():
        with torch.no_grad(), vector.apply(model, multiplier=task["coefficient"]):
            out[f"logits.{name}"] = model(ids).logits[0].clone()
    save_file(
        {name: value.contiguous() for name, value in out.items()},
        world / "steering-vectors.safetensors",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
