"""Peak memory of one extraction, in a process of its own.

Usage: python -m benchmarks.speed.memory FOLDER mean|second|report TEXTS
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from benchmarks.speed.world import load_world, texts
from selfsteer.steering.capture import capture, capture_moments
from selfsteer.steering.prompts import Prompt


def main() -> None:
    """Print the peak over what the process holds once the model has run."""
    folder, kind, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    student = load_world(folder)
    asked = [Prompt.raw(text) for text in texts(count)]
    longest = max(asked, key=lambda prompt: len(prompt.text or ""))
    # Everything that any size needs: code, work buffers, one full batch of the longest text.
    capture_moments(student, [longest] * 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if kind == "report":
        capture(student, asked, selector="all")
    else:
        capture_moments(student, asked, second=kind == "second")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"mib": (after - before) / 1024}))


if __name__ == "__main__":
    main()
