"""Runs in repeng's own environment: does what is asked, line by line, and says how long it took.

Usage: python repeng_worker.py FOLDER THREADS; one JSON object a line in, one out.
"""

import json
import sys
import time
from pathlib import Path

import torch
from repeng import ControlModel, ControlVector, DatasetEntry
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(int(sys.argv[2]))
folder = Path(sys.argv[1])
work = json.loads((folder / "work.json").read_text())
tokenizer = AutoTokenizer.from_pretrained(folder)
tokenizer.padding_side = "left"
model = AutoModelForCausalLM.from_pretrained(folder).eval()


def extract(wanted, batch, lot, count=None):
    texts = work[lot][:count]
    entries = [
        DatasetEntry(positive=p, negative=n) for p, n in zip(texts[::2], texts[1::2], strict=True)
    ]
    ControlVector.train(
        model, tokenizer, entries, hidden_layers=wanted, batch_size=batch, method="pca_center"
    )


def generate(rows, tokens, where):
    # A control model wants a direction for each of its layers, so it is wrapped around these alone.
    steered = ControlModel(model, where)
    directions = {k: torch.full((model.config.hidden_size,), 1e-6).numpy() for k in where}
    steered.set_control(ControlVector("llama", directions), 1.0)
    inputs = tokenizer(work["prompts"][:rows], return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    try:
        with torch.inference_mode():
            steered.generate(
                **inputs,
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
    finally:
        steered.unwrap()


for line in sys.stdin:
    asked = json.loads(line)
    job = {"extract": extract, "generate": generate}[asked.pop("work")]
    began = time.perf_counter()
    try:
        job(**asked)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), flush=True)
        continue
    print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
