"""The decoder blocks of a model, found by structure: which they are, and where they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from selfsteer.errors import StudentError


def find_layers(model: nn.Module, path: str | None = None) -> tuple[nn.Module, ...]:
    """The decoder blocks: the ModuleList as long as the config says there are blocks.

    Looked for in the text decoder, so that a vision tower with as many blocks is passed over. Of
    several such lists (the experts of a block may be as many) the one with the most parameters is
    taken.

    Args:
        path: dotted path of the list, which overrides the search.

    Raises:
        StudentError: when there is no such list, or nothing at `path`.
    """
    if path is not None:
        return _at(model, path)
    count = getattr(text_config(model), "num_hidden_layers", None)
    for part in (_decoder(model), model):
        lists = [m for m in part.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
        if count and lists:
            sizes = [sum(p.numel() for p in blocks.parameters()) for blocks in lists]
            return tuple(lists[sizes.index(max(sizes))])
    raise StudentError(
        f"No decoder blocks found in {type(model).__name__}: no module list has the {count} "
        "entries that its config states; name the list with layers=."
    )


def text_config(model: nn.Module) -> Any:
    """The config of the language model; a model of several towers has one for each."""
    config: Any = model.config
    return config.get_text_config(decoder=True)


def check_causal(model: nn.Module, blocks: Sequence[nn.Module], name: str) -> None:
    """Refuse models in which a token sees what follows it: steering and capture rest on order.

    Raises:
        StudentError: an encoder-decoder, or blocks whose attention is bidirectional.
    """
    config: Any = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise StudentError(
            f"{name} is an encoder-decoder model ({type(model).__name__}); a student is a causal "
            "language model, with a decoder only."
        )
    causal = [
        module.is_causal
        for block in blocks
        for module in block.modules()
        if isinstance(getattr(module, "is_causal", None), bool)
    ]
    if causal and not any(causal):
        raise StudentError(
            f"{name} ({type(model).__name__}) reads text in both directions; a student is a causal "
            "language model, in which no token sees what follows it."
        )


def check_weights_present(model: nn.Module, name: str) -> None:
    """Refuse weights that lie elsewhere while they are not used: they can neither be hashed nor
    told from others.

    Raises:
        StudentError: a device map has left weights on the disk or in another memory.
    """
    away = next((key for key, tensor in model.named_parameters() if tensor.is_meta), None)
    if away is not None:
        raise StudentError(
            f"The weights of {name} are not all on a device ({away} is offloaded); give a "
            "device_map that has room for the whole model, or a smaller dtype."
        )


def check_float64(device: torch.device, name: str) -> None:
    """Refuse a device that cannot hold the sums over activations.

    Raises:
        StudentError: mps.
    """
    if device.type == "mps":
        raise StudentError(
            f"{name} cannot run on mps, which has no float64; sums over activations need it, so "
            "load it on cpu."
        )


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are, and its work is done."""
    return next(module.parameters()).device


def _at(model: nn.Module, path: str) -> tuple[nn.Module, ...]:
    try:
        found = model.get_submodule(path)
    except AttributeError as error:
        raise StudentError(f"The student has no module {path!r} ({error}).") from error
    if not isinstance(found, nn.ModuleList | nn.Sequential) or len(found) == 0:
        raise StudentError(f"{path!r} is a {type(found).__name__}, not a list of blocks.")
    return tuple(found)


def _decoder(model: nn.Module) -> nn.Module:
    """The language model's own body; the whole model where transformers does not tell."""
    find = getattr(model, "get_decoder", None)
    found = find() if callable(find) else None
    return found if isinstance(found, nn.Module) else model
