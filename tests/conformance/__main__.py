"""`make conformance`: exact by our own measure, and the same numbers as other libraries.

What needs no peer comes first: every family's steered generation against a forward without a cache,
operators against their formulas, methods against a known truth. Each peer lives in a virtual
environment of its own under `build/peers`, made on the first run. All of them get a tiny random
Llama, texts and a vector as files, and leave tensors behind; the largest absolute difference to
ours is what each bar shows.
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
from tests.conformance.llama_cpp import measure_llama_cpp
from tests.conformance.ours import measure_ours
from tests.conformance.world import World, build_world

COMPARISONS: dict[str, Callable[[World], list[Bar]]] = {
    "repeng": compare_repeng,
    "steering-vectors": compare_steering_vectors,
    "nnsight": compare_nnsight,
}
ALONE: dict[str, Callable[[], list[Bar]]] = {"ours": measure_ours, "llama.cpp": measure_llama_cpp}


def main() -> int:
    """Measure the parts asked for; returns the exit code: 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    everything = [*ALONE, *COMPARISONS]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {everything}; all by default")
    parts: list[str] = parser.parse_args().parts
    if unknown := set(parts) - set(everything):
        parser.error(f"{', '.join(sorted(unknown))}: parts are {', '.join(everything)}")
    torch.set_num_threads(1)
    chosen = [part for part in everything if part in parts or not parts]
    bars = [bar for part in chosen if part in ALONE for bar in ALONE[part]()]
    bars += _peers([part for part in chosen if part in COMPARISONS])
    # Only a whole run may stand for the whole.
    name = "conformance" if chosen == everything else "-".join(["conformance", *chosen])
    return publish(name, bars)


def _peers(chosen: list[str]) -> list[Bar]:
    """One world for all of them."""
    bars: list[Bar] = []
    if not chosen:
        return bars
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(Path(folder))
        for peer in chosen:
            try:
                run(peer, world.folder)
            except subprocess.CalledProcessError as error:
                note = f"exit code {error.returncode}; what it said stands above"
                bars.append(Bar(f"{peer}: installed and run", 0, 1, note=note))
            else:
                bars += COMPARISONS[peer](world)
    return bars


if __name__ == "__main__":
    sys.exit(main())
