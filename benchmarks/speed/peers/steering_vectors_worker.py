"""Runs in steering-vectors' own environment: does what is asked, and says how long it took.

Usage: python steering_vectors_worker.py FOLDER THREADS; one JSON object a line in, one out.
"""

import json
import sys
import time
from pathlib import Path

import torch
from steering_vectors import SteeringVector, train_steering_vector
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(int(sys.argv[2]))
folder = Path(sys.argv[1])
work = json.loads((folder / "work.json").read_text())
# By its file: this transformers knows no tokenizer class of later ones.
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=str(folder / "tokenizer.json"),
    pad_token="<pad>",
    bos_token="<s>",
    eos_token="</s>",
)
tokenizer.padding_side = "left"
model = AutoModelForCausalLM.from_pretrained(folder).eval()


def extract(wanted, batch, lot, count=None):
    texts = work[lot][:count]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    train_steering_vector(
        model, tokenizer, pairs, layers=wanted, read_token_index=-1, batch_size=batch
    )


def generate(rows, tokens, where):
    direction = torch.full((model.config.hidden_size,), 1e-6)
    vector = SteeringVector({k: direction for k in where})
    inputs = tokenizer(work["prompts"][:rows], return_tensors="pt", padding=True)
    inputs.pop("token_type_ids", None)
    with vector.apply(model), torch.inference_mode():
        model.generate(
            **inputs, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )


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
