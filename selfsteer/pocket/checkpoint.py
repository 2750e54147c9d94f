"""What training leaves on the disk: a resumable state in one file, and folders ready to load."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import MistralForCausalLM, PreTrainedTokenizerFast

from selfsteer.errors import StudentError


def save_folder(
    folder: Path,
    model: MistralForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` load; each file atomically."""
    staging = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    # A copy, so that training goes on in float32 with its own attention.
    copy = MistralForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = model.generation_config
    nn.Module.to(copy, dtype)
    copy.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    folder.mkdir(parents=True, exist_ok=True)
    for file in staging.iterdir():
        os.replace(file, folder / file.name)
    staging.rmdir()


def save_state(
    path: Path,
    model: MistralForCausalLM,
    optimisers: Sequence[torch.optim.Optimizer],
    header: dict[str, Any],
) -> None:
    """Write model, optimisers and a JSON header into one safetensors file, atomically."""
    tensors: dict[str, Tensor] = {f"model.{n}": p.detach() for n, p in model.named_parameters()}
    for number, optimiser in enumerate(optimisers):
        for index, state in optimiser.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimiser.{number}.{index}.{name}"] = value
    staging = path.with_name(f".{path.name}.new")
    save_file(tensors, staging, metadata={"header": json.dumps(header)})
    os.replace(staging, path)


def load_state(
    path: Path, model: MistralForCausalLM, optimisers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Read a file of `save_state` into model and optimisers; returns its header.

    Raises:
        StudentError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads(file.metadata()["header"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise StudentError(f"{path} is not a training state; delete it to start over") from error
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
    for number, optimiser in enumerate(optimisers):
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, _, rest = key.partition(".")
            if kind == "optimiser" and rest.split(".")[0] == str(number):
                _, index, name = rest.split(".")
                states.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states, "param_groups": groups})
    return header
