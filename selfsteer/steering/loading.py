"""Where a student's weights come from: bundled, a folder, or the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import model_info
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
)
from transformers.utils import logging

from selfsteer.errors import StudentError

BUNDLED = ("pocket", "pocket-base")
_HUB_TIMEOUT = 10.0  # seconds
_logging: Any = logging  # its functions carry no types


class Placement(NamedTuple):
    """Where and in which form weights are put.

    Attributes:
        device: for all of them, as torch names it, where there is no map.
        device_map: as `from_pretrained` takes it.
        quantization_config: as `from_pretrained` takes it.
    """

    device: str = "cpu"
    device_map: str | Mapping[str, Any] | None = None
    quantization_config: Any = None


def load_pretrained(
    name: str, dtype: str, placement: Placement, *, local_files_only: bool
) -> tuple[Any, Any]:
    """The model and the tokenizer of a bundled name, a local folder or a hub name.

    Weights are read from safetensors only, and no code that comes with a model is run.

    Raises:
        StudentError: unknown name, folder without config or weights, one that does not load, or
            no causal language model.
    """
    source = _source(name)
    wanted = _dtype(dtype)
    problem = "" if source.is_local or local_files_only else hub_problem(name)
    local = local_files_only or source.is_local or bool(problem)
    safely = {"local_files_only": local, "trust_remote_code": False}
    try:
        with no_progress_bar():
            config = AutoConfig.from_pretrained(source.place, **safely)
            model_class = _model_class(config, name)
            model = model_class.from_pretrained(
                source.place,
                dtype=wanted,
                use_safetensors=True,
                **safely,
                **_placed(placement, config),
            )
            if placement.device_map is None and not _is_quantised(placement, config):
                model.to(torch.device(placement.device))
            tokenizer = AutoTokenizer.from_pretrained(source.place, **safely)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise StudentError(_failure(name, source, problem or str(error))) from error
    return model, tokenizer


def _model_class(config: Any, name: str) -> Any:
    """Which of transformers' automatic classes has a language model for this config.

    Raises:
        StudentError: none has, or only as half of an encoder-decoder.
    """
    if config.is_encoder_decoder:
        raise StudentError(
            f"{name} is an encoder-decoder model ({config.model_type}); a student is a causal "
            "language model, with a decoder only."
        )
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    raise StudentError(
        f"{name} is a model of type {config.model_type!r}, of which transformers has no causal "
        "language model; a student has to be one."
    )


def _is_quantised(placement: Placement, config: Any) -> bool:
    """Whether the caller or the stored config asks for quantised weights."""
    stored = getattr(config, "quantization_config", None)
    return placement.quantization_config is not None or stored is not None


def _placed(placement: Placement, config: Any) -> dict[str, Any]:
    """Arguments by which `from_pretrained` places the weights itself.

    None for a plain model, which is moved afterwards; a quantised one may not be moved.
    """
    options: dict[str, Any] = {}
    if placement.quantization_config is not None:
        options["quantization_config"] = placement.quantization_config
    if placement.device_map is not None:
        options["device_map"] = placement.device_map
    elif _is_quantised(placement, config) and placement.device != "cpu":
        options["device_map"] = {"": placement.device}
    return options


class _Source(NamedTuple):
    """Where the weights lie: a folder that has been checked, or a hub name."""

    place: str
    is_local: bool


def _source(name: str) -> _Source:
    if name in BUNDLED:
        from selfsteer.pocket import weights_path

        return _Source(str(weights_path(name)), True)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise StudentError(f"There is no folder {name}; give one that holds a model.")
        return _Source(name, False)
    if not (folder / "config.json").is_file():
        raise StudentError(f"{name} holds no config.json, so it is no Hugging Face model folder.")
    if not any(folder.glob("*.safetensors")):
        raise StudentError(
            f"{name} holds no weights: a *.safetensors file is needed (pickles are refused)."
        )
    return _Source(str(folder), True)


def hub_problem(name: str) -> str:
    """Why the hub does not have this model; empty when it does.

    One short question, since a load from an unreachable hub retries for half a minute.
    """
    try:
        model_info(name, timeout=_HUB_TIMEOUT)
    except Exception as error:  # whatever the client raises, the model is not to be had there
        return str(error)
    return ""


@contextmanager
def no_progress_bar() -> Iterator[None]:
    shown = _logging.is_progress_bar_enabled()
    _logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            _logging.enable_progress_bar()


def _dtype(name: str) -> torch.dtype | str:
    known: Mapping[str, torch.dtype | str] = {
        "float32": torch.float32,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
        "auto": "auto",
    }
    if name not in known:
        raise StudentError(f"Unknown dtype {name!r}; it is one of {', '.join(known)}.")
    return known[name]


def _failure(name: str, source: _Source, reason: str) -> str:
    reason = " ".join(reason.split())[:200]
    if source.is_local:
        return f"The model {name} could not be loaded ({reason})."
    return (
        f"Unknown student {name!r}: not bundled ({', '.join(BUNDLED)}), not a folder, and not to "
        f"be had from the hub ({reason})."
    )
