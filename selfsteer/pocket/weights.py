"""Where the bundled weights lie."""

from __future__ import annotations

from pathlib import Path

from selfsteer.errors import StudentError

BUNDLED = Path(__file__).parent / "weights"
CAPABILITY = "capability.jsonl"
FOLDERS = {"pocket": "instruct", "pocket-base": "base"}
# The phase of training that each of these folders holds the result of.
TRAINED = {"instruct": "robust", "base": "base"}


def weights_path(name: str) -> Path:
    """Folder of a bundled checkpoint, loadable with the ordinary `transformers` classes.

    Raises:
        StudentError: the name is not bundled, or the package was built without its weights.
    """
    if name not in FOLDERS:
        raise StudentError(f"No bundled model is called {name!r}; there are {', '.join(FOLDERS)}")
    folder = BUNDLED / FOLDERS[name]
    if not (folder / "model.safetensors").is_file():
        raise StudentError(
            f"The weights of {name!r} are missing from {folder}; train and export them with "
            "`make pocket`, or reinstall the package"
        )
    return folder
