"""Where a student's weights come from: bundled, a folder, or the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import model_info
from huggingface_hub.errors import StrictDataclassError
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
from selfsteer.steering.blocks import check_float64

BUNDLED = ("pocket", "pocket-base")
_HUB_TIMEOUT = 10.0  # seconds
_logging: Any = logging  # its functions carry no types
# What files that make no sense, or do not suit this machine, make transformers and torch raise.
_FAILURES = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)


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
        StudentError: unknown name, folder without config or weights, one that does not load, no
            causal language model, or a device that is not there or cannot run a student.
    """
    source = _source(name)
    wanted = _dtype(dtype)
    if placement.device_map is None:
        _check_usable(placement.device, name)
    problem = "" if source.is_local or local_files_only else hub_problem(name)
    local = local_files_only or source.is_local or bool(problem)
    try:
        with no_progress_bar():
            return _read(name, source.place, wanted, placement, local=local)
    except _FAILURES as error:
        if local and not source.is_local and isinstance(error, OSError):
            raise StudentError(
                f"Unknown student {name!r}: not bundled ({', '.join(BUNDLED)}), not a folder, and "
                f"not to be had from the hub ({_short(problem or str(error))})."
            ) from error
        raise StudentError(
            f"The model {name} could not be loaded ({_short(str(error))})."
        ) from error


def _read(
    name: str, place: str, dtype: torch.dtype | str, placement: Placement, *, local: bool
) -> tuple[Any, Any]:
    """The model, where it is to be, and its tokenizer."""
    safely = {"local_files_only": local, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(place, **safely)
    model = _model_class(config, name).from_pretrained(
        place, dtype=dtype, use_safetensors=True, **safely, **_placed(placement, config)
    )
    if placement.device_map is None and not _is_quantised(placement, config):
        model.to(torch.device(placement.device))
    return model, AutoTokenizer.from_pretrained(place, **safely)


def _check_usable(device: str, name: str) -> None:
    """Refuse a device before anything is fetched for it.

    Raises:
        StudentError: torch does not know it, this machine or this torch has none, or it has no
            float64.
    """
    try:
        check_float64(torch.device(device), name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = _short(str(error).partition("\n")[0].rstrip("."))
        raise StudentError(
            f"The device {device!r} cannot be used ({reason}); cpu always can."
        ) from error


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


def _short(reason: str) -> str:
    return " ".join(reason.split())[:200]
