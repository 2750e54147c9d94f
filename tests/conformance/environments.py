"""A virtual environment for each peer, made once and again when its requirements change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path("build/peers")
_TORCH = "torch==2.13.0"  # exact, as in pyproject.toml
REQUIREMENTS = {
    "repeng": (_TORCH, "repeng==0.4.0", "transformers==5.23.0", "safetensors==0.8.0"),
    "steering-vectors": (_TORCH, "steering-vectors==0.12.2", "safetensors==0.8.0"),
    "nnsight": (_TORCH, "nnsight==0.8.1", "transformers==5.23.0", "safetensors==0.8.0"),
}
_PEERS = Path(__file__).parent / "peers"


def ensure(peer: str) -> Path:
    """The Python of the peer's environment, which is built where it is missing or outdated."""
    folder = FOLDER / peer
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join(REQUIREMENTS[peer]) + "\n"
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"Installing {peer} into {folder}; the first time takes some minutes.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--quiet", *REQUIREMENTS[peer]], check=True)
        stamp.write_text(wanted)
    return python


def run(peer: str, world: Path) -> None:
    """Let the peer do its part in the folder `world`, where it leaves its results.

    Its script runs alone: nothing of ours is on its path, and it reaches no hub.
    """
    script = _PEERS / f"{peer.replace('-', '_')}_peer.py"
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    alone = kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # Not resolved: the link in the environment's folder is what makes it the environment's Python.
    python = Path.cwd() / ensure(peer)
    subprocess.run([python, script.resolve(), world.resolve()], check=True, env=alone)
