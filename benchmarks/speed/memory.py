"""Peak memory of one extraction, in a process of its own.

Usage: python -m benchmarks.speed.memory FOLDER mean|second|report TEXTS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from benchmarks.speed.world import dataset, load_world, texts
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.extraction.report import layer_report
from selfsteer.steering.model import Student


def mean(student: Student, asked: ContrastiveDataset) -> None:
    """The default vector."""
    extract_vector(student, asked, selector="all")


def second(student: Student, asked: ContrastiveDataset) -> None:
    """A vector that needs the covariance of tokens."""
    extract_vector(student, asked, method="lda", selector="all", reduce=None)


def report(student: Student, asked: ContrastiveDataset) -> None:
    """The report of each layer."""
    layer_report(capture_pairs(student, asked, selector="all"))


def main() -> None:
    """Print the peak over what the process holds once the same has been done with a few texts."""
    work = {"mean": mean, "second": second, "report": report}
    folder, kind, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    student = load_world(folder)
    asked, longest = dataset(texts(count)), max(texts(), key=len)
    # Everything that any size needs: code, work buffers, full batches of texts that are as long as
    # any and begin differently.
    full = dataset([f"w{n} {longest}" for n in range(3, 23)])
    work[kind](student, full)
    before = _peak_kib()
    work[kind](student, asked)
    print(json.dumps({"mib": (_peak_kib() - before) / 1024}))


def _peak_kib() -> int:
    """The most that this process has held, as Linux tells it.

    Not `ru_maxrss`: a process inherits that from the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
