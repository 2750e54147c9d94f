"""`make conformance`: the same numbers as repeng, steering-vectors and nnsight.

Each peer lives in a virtual environment of its own under `build/peers`, made on the first run. All
of them get a tiny random Llama, texts and a vector as files, and leave tensors behind; the largest
absolute difference to ours is what each bar shows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.bars import Bar, publish
from tests.conformance.compare import compare_nnsight, compare_repeng, compare_steering_vectors
from tests.conformance.environments import run
from tests.conformance.world import World, build_world

COMPARISONS: dict[str, Callable[[World], list[Bar]]] = {
    "repeng": compare_repeng,
    "steering-vectors": compare_steering_vectors,
    "nnsight": compare_nnsight,
}


def main() -> int:
    """Build, run, compare; returns the exit code: 1 when a bar is missed."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(Path(folder))
        for peer, compare in COMPARISONS.items():
            try:
                run(peer, world.folder)
            except subprocess.CalledProcessError as error:
                note = f"exit code {error.returncode}; what it said stands above"
                bars.append(Bar(f"{peer}: installed and run", 0, 1, note=note))
            else:
                bars += compare(world)
    return publish("conformance", bars)


if __name__ == "__main__":
    sys.exit(main())
