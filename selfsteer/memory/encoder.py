"""Sentence encoders: what turns texts into points that lie close where they mean the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import snapshot_download
from numpy.typing import NDArray
from safetensors import SafetensorError

from selfsteer.errors import EncoderError
from selfsteer.steering.loading import hub_problem, no_progress_bar

Floats = NDArray[np.float32]

Encoder = Callable[[Sequence[str]], Floats]
"""Texts to ``[N, D]``, a row each; cosines of rows say how alike the texts are."""

# What is fetched from the hub: never a pickle, and no weights in the form of another runtime.
_FETCHED = ["*.json", "*.txt", "*.model", "*.safetensors"]


class SentenceEncoder:
    """A model of sentence-transformers, on the CPU, where it is in no student's way.

    Its weights are read when it is first asked, or told to :meth:`load`: a run that is resumed
    mostly has its answers already.

    Attributes:
        name: a local folder, or a name on the hub.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._model: Any = None

    def __call__(self, texts: Sequence[str]) -> Floats:
        """The points of ``texts``, ``[N, D]``.

        Raises:
            EncoderError: as :meth:`load` does.
        """
        self.load()
        rows: Floats = self._model.encode(list(texts), show_progress_bar=False)
        return rows

    def load(self) -> None:
        """Read the weights, from safetensors only, unless that has been done.

        Raises:
            EncoderError: sentence-transformers is not installed, no such folder or hub name, one
                without weights or with pickles for weights, or one that does not load.
        """
        if self._model is not None:
            return
        library = _library()
        folder = _folder(self.name)
        _check_weights(folder, self.name)
        try:
            with no_progress_bar():
                self._model = library.SentenceTransformer(
                    str(folder),
                    device="cpu",
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True, "dtype": "float32"},
                )
        except _FAILURES as error:
            raise EncoderError(
                f"The sentence encoder {self.name} could not be loaded ({_short(error)})."
            ) from error


_FAILURES = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError)


def _library() -> Any:
    try:
        return import_module("sentence_transformers")
    except ImportError as error:
        raise EncoderError(
            "Recall by meaning needs the package sentence-transformers; install it with: "
            "pip install 'selfsteer[embeddings]', or name no encoder."
        ) from error


def _folder(name: str) -> Path:
    """Where the model lies; one of the hub is fetched, or found where it was fetched before."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise EncoderError(f"There is no folder {name}; give one that holds a sentence encoder.")
    problem = hub_problem(name)
    try:
        with no_progress_bar():
            found = snapshot_download(name, allow_patterns=_FETCHED, local_files_only=bool(problem))
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"Unknown sentence encoder {name!r}: not a folder, and not to be had from the hub "
            f"({problem or _short(error)})."
        ) from error
    return Path(found)


def _check_weights(folder: Path, name: str) -> None:
    """sentence-transformers itself would read the pickle of a module that has nothing else."""
    parts = {file.parent for file in folder.rglob("*.safetensors")}
    pickled = {file.parent for file in folder.rglob("pytorch_model*.bin")} - parts
    if pickled or not parts:
        raise EncoderError(
            f"{name} holds no sentence encoder whose weights are all in *.safetensors files "
            "(pickles are refused)."
        )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
