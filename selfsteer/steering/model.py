"""The student: any Hugging Face causal language model, with its decoder blocks found."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from selfsteer.errors import StudentError
from selfsteer.steering.chat import ChatFormat
from selfsteer.steering.loading import load_pretrained
from selfsteer.steering.spelling import Spelling

# Settings of a load, not of a model: two loads of the same weights share a fingerprint.
_VOLATILE = frozenset(
    {"_name_or_path", "architectures", "dtype", "transformers_version", "use_cache"}
)
_SAMPLES = 64


class Student:
    """A causal language model that is read and steered, frozen and in evaluation mode.

    Attributes:
        model: the Hugging Face model.
        tokenizer: its tokenizer.
        name: what the user called it.
        layers: decoder blocks in order; layer k is the output of `layers[k]`.
        chat: its chat template, or None when the tokenizer has none.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any, name: str, layers: Sequence[nn.Module]
    ) -> None:
        model.train(False)
        self.model = model.requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.layers = layers
        self.chat = ChatFormat(tokenizer) if getattr(tokenizer, "chat_template", None) else None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        layers: str | None = None,
        local_files_only: bool = False,
    ) -> Student:
        """Load a bundled student by name, a local Hugging Face folder, or a hub name.

        Args:
            device: where the model runs, as torch names it.
            dtype: `float32`, `float16`, `bfloat16`, or `auto` for what the weights are stored in.
            layers: dotted path of the decoder blocks, where the search would find the wrong ones.
            local_files_only: never ask the hub.

        Raises:
            StudentError: unknown name, folder without config or weights, no blocks found.
        """
        name = str(name_or_path)
        model, tokenizer = load_pretrained(name, dtype, local_files_only=local_files_only)
        model.to(torch.device(device))
        return cls.wrap(model, tokenizer, name, layers=layers)

    @classmethod
    def wrap(
        cls, model: PreTrainedModel, tokenizer: Any, name: str, *, layers: str | None = None
    ) -> Student:
        """Take a model and tokenizer that are already in memory; freezes the model.

        Raises:
            StudentError: when no decoder blocks are found.
        """
        return cls(model, tokenizer, name, find_layers(model, layers))

    @property
    def embedding(self) -> nn.Module:
        """The input embedding."""
        module: nn.Module = self.model.get_input_embeddings()
        return module

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(self.layers)

    @cached_property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        device: torch.device = self.model.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def has_chat_template(self) -> bool:
        """Whether chat messages are put through a template."""
        return self.chat is not None

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text: start, end, pad, turn marks."""
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        marked = {index for index, token in added.items() if token.special}
        return frozenset(self.tokenizer.all_special_ids) | marked

    @cached_property
    def spelling(self) -> Spelling:
        """How the tokenizer writes texts, so that they can be found among tokens."""
        return Spelling(self.tokenizer, self.special_ids)

    @cached_property
    def start_ids(self) -> list[int]:
        """What the tokenizer puts before plain text by default: its start token, or nothing."""
        bos = self.tokenizer.bos_token_id
        ids = list(self.tokenizer("a")["input_ids"])
        return [bos] if bos is not None and ids[:1] == [bos] else []

    @property
    def pad_id(self) -> int:
        """A token to fill rows up with; pads are masked, so any will do."""
        candidates = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return next(int(i) for i in candidates if i is not None)

    @cached_property
    def context_length(self) -> int | None:
        """How many positions the model knows; None when it does not say."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit else None

    @cached_property
    def forward_arguments(self) -> frozenset[str]:
        """Names that the model's forward takes: families differ in which they know."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the config, every tensor's name, shape and type, and some bytes.

        Identifies the weights cheaply: up to 64 evenly spaced values of each tensor are read.
        """
        config = {k: v for k, v in self.model.config.to_dict().items() if k not in _VOLATILE}
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(_sample(tensor))
        return digest.hexdigest()

    def check_layer(self, layer: int) -> None:
        """Refuse a layer that the student has not.

        Raises:
            StudentError: when `layer` is neither -1 nor the number of a block.
        """
        if not -1 <= layer < self.n_layers:
            raise StudentError(
                f"Layer {layer} does not exist: {self.name} has blocks 0 to {self.n_layers - 1}, "
                "and -1 for the embedding output."
            )


def find_layers(model: nn.Module, path: str | None = None) -> tuple[nn.Module, ...]:
    """The decoder blocks: the ModuleList as long as the config says there are blocks.

    Of several such lists the one with the most parameters is taken. `path` (dotted) overrides.

    Raises:
        StudentError: when there is no such list, or nothing at `path`.
    """
    if path is not None:
        try:
            found = model.get_submodule(path)
        except AttributeError as error:
            raise StudentError(f"The student has no module {path!r} ({error}).") from error
        if not isinstance(found, nn.ModuleList):
            raise StudentError(f"{path!r} is a {type(found).__name__}, not a list of blocks.")
        return tuple(found)
    config: Any = model.config
    count = getattr(config.get_text_config(), "num_hidden_layers", None)
    lists: list[nn.ModuleList] = [
        m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count
    ]
    if not count or not lists:
        raise StudentError(
            f"No decoder blocks found in {type(model).__name__}: no module list has the {count} "
            "entries that its config states; name the list with layers=."
        )
    sizes = [sum(p.numel() for p in blocks.parameters()) for blocks in lists]
    return tuple(lists[sizes.index(max(sizes))])


def _sample(tensor: Tensor) -> bytes:
    """Up to 64 evenly spaced values, as bytes."""
    flat = tensor.detach().reshape(-1)
    step = max(1, flat.numel() // _SAMPLES)
    values = flat[::step][:_SAMPLES].cpu().contiguous()
    return values.view(torch.uint8).numpy().tobytes() if values.numel() else b""
