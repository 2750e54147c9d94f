"""Peers at work: a process in the peer's own environment that is told what to do and times it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.environments import ensure

_SCRIPTS = Path(__file__).parent / "peers"


class PeerError(RuntimeError):
    """A peer could not do what it was asked."""


class Worker:
    """A peer's process; between two requests it waits and takes no time."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name, self._process, self._log = name, process, log

    def seconds(self, work: str, **asked: Any) -> float:
        """Let the peer do `work` and return how long it took.

        Raises:
            PeerError: the peer failed, with its own words.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps({"work": work, **asked}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line) if line else {"error": f"its process ended; see {self._log}"}
        if "error" in answer:
            raise PeerError(f"{self.name} cannot {work} {asked}: {answer['error']}")
        return float(answer["seconds"])


@contextmanager
def worker(peer: str, world: Path, threads: int) -> Iterator[Worker]:
    """Start a peer on the world in a folder; its environment is made where it is missing."""
    script = _SCRIPTS / f"{peer.replace('-', '_')}_worker.py"
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    alone = kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}
    python = Path.cwd() / ensure(peer)
    log = world / f"{peer}.log"
    with log.open("w") as complaints:
        process = subprocess.Popen(
            [python, script.resolve(), world.resolve(), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=alone,
        )
    try:
        yield Worker(peer, process, log)
    finally:
        process.terminate()
        process.wait()
