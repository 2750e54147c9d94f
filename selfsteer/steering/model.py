"""The student: any Hugging Face causal language model, with its decoder blocks found."""

from __future__ import annotations

import hashlib
import inspect
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from selfsteer.errors import StudentError
from selfsteer.steering.blocks import (
    check_causal,
    check_float64,
    check_weights_present,
    device_of,
    find_layers,
    text_config,
)
from selfsteer.steering.chat import ChatFormat, ChatWarning
from selfsteer.steering.loading import Placement, load_pretrained
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
        self._warned = False

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        layers: str | None = None,
        local_files_only: bool = False,
        device_map: str | Mapping[str, Any] | None = None,
        quantization_config: Any = None,
    ) -> Student:
        """Load a bundled student by name, a local Hugging Face folder, or a hub name.

        Of a vision-language model the text tower is the student.

        Args:
            device: where the model runs, as torch names it; not used with `device_map`.
            dtype: `float32`, `float16`, `bfloat16`, or `auto` for what the weights are stored in.
            layers: dotted path of the decoder blocks, where the search would find the wrong ones.
            local_files_only: never ask the hub.
            device_map: spreads the blocks over devices, as `from_pretrained` takes it (`"auto"`);
                needs accelerate, and room for all weights on those devices.
            quantization_config: handed to `from_pretrained` as it is; needs the library that it
                names.

        Raises:
            StudentError: unknown name, folder without config or weights, not a causal language
                model, no blocks found, a device that is not there or has no float64, weights left
                on disk by a device map.
        """
        name = str(name_or_path)
        placement = Placement(device, device_map, quantization_config)
        model, tokenizer = load_pretrained(
            name, dtype, placement, local_files_only=local_files_only
        )
        return cls.wrap(model, tokenizer, name, layers=layers)

    @classmethod
    def wrap(
        cls, model: PreTrainedModel, tokenizer: Any, name: str, *, layers: str | None = None
    ) -> Student:
        """Take a model and tokenizer that are already in memory; freezes the model.

        Raises:
            StudentError: when no decoder blocks are found, the model is not a causal one, or it
                lies where there is no float64.
        """
        blocks = find_layers(model, layers)
        check_causal(model, blocks, name)
        check_weights_present(model, name)
        for device in {tensor.device for tensor in model.parameters()}:
            check_float64(device, name)
        return cls(model, tokenizer, name, blocks)

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
        return int(text_config(self.model).hidden_size)

    @cached_property
    def n_parameters(self) -> int:
        """Number of parameters; those that are tied count once."""
        return int(self.model.num_parameters())

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return device_of(self.embedding)

    def layer_device(self, layer: int) -> torch.device:
        """Where a layer's activations are; a device map may put each block on its own."""
        return device_of(self.embedding if layer == -1 else self.layers[layer])

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        dtype: torch.dtype = self.model.dtype
        return dtype

    @property
    def has_chat_template(self) -> bool:
        """Whether chat messages are put through a template."""
        return self.chat is not None

    def warn_of_no_template(self) -> None:
        """Say once that this student gets chat messages as plain lines of text."""
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name} has no chat template: messages are joined by line breaks and "
                "continued as plain text. Give raw prompts, or wrap the model with a tokenizer "
                "that has a template.",
                ChatWarning,
                stacklevel=2,
            )

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
        config = text_config(self.model)
        names = ("max_position_embeddings", "max_seq_len")
        limit = next((limit for name in names if (limit := getattr(config, name, None))), None)
        return int(limit) if limit else None

    @cached_property
    def reach(self) -> int | None:
        """How many tokens a token can be told by, itself included, through all blocks.

        With a sliding window of w at each of n blocks what is further back than n (w - 1) tokens
        cannot matter; None where a block looks back without a window, or the model does not say.
        """
        config = text_config(self.model)
        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
        if not window or kinds != {"sliding_attention"}:
            return None
        return self.n_layers * (int(window) - 1) + 1

    @cached_property
    def _short_rotation(self) -> int | None:
        """The most tokens for which `longrope` turns by its short factors; None without it."""
        stated = getattr(text_config(self.model), "rope_parameters", None) or {}
        each = (stated, *(inner for inner in stated.values() if isinstance(inner, Mapping)))
        key = "original_max_position_embeddings"
        return min((int(p[key]) for p in each if p.get("rope_type") == "longrope"), default=None)

    def rotation(self, length: int, more: int = 0) -> int:
        """What rows must agree in to share a forward, of which the longest sets the rotary factors.

        Args:
            length: tokens of the row.
            more: tokens that may follow it.

        Returns:
            0 for rows that keep to the short factors, or where there are no others; -1 for those
            that begin with the long ones; their length for those that come to them on the way.
        """
        limit = self._short_rotation
        if limit is None or length + more <= limit:
            return 0
        return length if length <= limit else -1

    @cached_property
    def forward_arguments(self) -> frozenset[str]:
        """Names that the model's forward takes: families differ in which they know."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    @property
    def recurrent(self) -> bool:
        """Whether a state is carried from token to token, so that a row may hold no pads.

        transformers marks such families (state-space models, linear attention, hybrids).
        """
        return bool(getattr(self.model, "_is_stateful", False))

    @property
    def cache_argument(self) -> str | None:
        """What the model's forward calls its cache; None where it takes none of transformers'."""
        known = ("past_key_values", "cache_params")
        return next((name for name in known if name in self.forward_arguments), None)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the config, every tensor's name, shape and type, and some bytes.

        Identifies the weights cheaply: up to 64 evenly spaced values of each tensor are read.
        """
        config = _lasting(self.model.config.to_dict())
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            for part in _stored(tensor):
                digest.update(_sample(part))
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


def _lasting(config: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to the model, not to how it was loaded; the config of each tower likewise."""
    return {
        key: _lasting(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _VOLATILE
    }


def _stored(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that hold a tensor's data: quantised ones are made of several."""
    inner = getattr(tensor, "__tensor_flatten__", None)
    if inner is None:
        yield tensor
        return
    names, _ = inner()
    for name in names:
        yield from _stored(getattr(tensor, name))


def _sample(tensor: Tensor) -> bytes:
    """Up to 64 evenly spaced values, as bytes."""
    flat = tensor.detach().reshape(-1)
    step = max(1, flat.numel() // _SAMPLES)
    values = flat[::step][:_SAMPLES].cpu().contiguous()
    return values.view(torch.uint8).numpy().tobytes() if values.numel() else b""
