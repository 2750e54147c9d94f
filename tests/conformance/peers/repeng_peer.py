"""What repeng makes of the same student, texts and vector. Runs in repeng's environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from repeng import ControlModel, ControlVector, DatasetEntry
from repeng.extract import batched_get_hiddens, read_representations
from safetensors.torch import save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


def main(world: Path) -> None:
    """Read `world/world.json`, write `world/repeng.safetensors` and a GGUF file."""
    task = json.loads((world / "world.json").read_text())
    model = LlamaForCausalLM.from_pretrained(world / "student").eval()
    # From the tokenizer's own file: settings of other versions of transformers do not load.
    file = str(world / "student" / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file, pad_token="<pad>")
    out: dict[str, torch.Tensor] = {}
    ids = torch.tensor([task["ids"]])
    with torch.no_grad():
        out["logits.plain"] = model(ids).logits[0].clone()

    layers = list(range(task["layers"]))
    pairs = [DatasetEntry(*pair) for pair in task["pairs"]]
    texts = [text for pair in task["pairs"] for text in pair]
    hiddens = batched_get_hiddens(model, tokenizer, texts, layers, batch_size=4)
    found = read_representations(
        model, tokenizer, pairs, hidden_layers=layers, method="pca_center", batch_size=4
    )
    for layer in layers:
        rows = torch.from_numpy(hiddens[layer])
        out[f"mean.{layer}"] = (rows[::2] - rows[1::2]).mean(dim=0)
        out[f"pca_center.{layer}"] = torch.from_numpy(found[layer])
    ControlVector("llama", {k: found[k] for k in layers}).export_gguf(world / "repeng.gguf")

    vector = ControlVector.import_gguf(world / "vector.gguf")
    steered = ControlModel(model, sorted(vector.directions))
    steered.set_control(vector, task["coefficient"])
    with torch.no_grad():
        out["logits.ours"] = steered(ids).logits[0].clone()
    steered.reset()
    steered.unwrap()
    steered = ControlModel(model, layers)
    steered.set_control(ControlVector("llama", found), task["coefficient"])
    with torch.no_grad():
        out["logits.theirs"] = steered(ids).logits[0].clone()
    save_file(
        {name: value.contiguous() for name, value in out.items()}, world / "repeng.safetensors"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
