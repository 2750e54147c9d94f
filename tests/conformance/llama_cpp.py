"""llama.cpp through llama-cpp-python, where the index has a wheel of it.

Its source distribution compiles llama.cpp, which takes a compiler and longer than all other
comparisons together, so it is not built here. Where there is a wheel, the bar is missed until
something compares with it; our GGUF files are held against the package `gguf` and repeng meanwhile.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.bars import Bar

_PACKAGE = "llama-cpp-python"
_SECONDS = 120


def measure_llama_cpp() -> list[Bar]:
    """Whether there is a wheel to compare with, by asking pip without installing anything."""
    refused = _refusal()
    note = "a wheel can be installed: compare with it" if refused is None else refused
    return [Bar(f"{_PACKAGE}: left out", int(refused is None), 0, at_least=False, note=note)]


def _refusal() -> str | None:
    """Why no wheel can be installed; None where one can."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    asked = [*pip, "--dry-run", "--no-deps", "--only-binary", ":all:", _PACKAGE]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"not installable: no answer of the index within {_SECONDS} s"
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    said = errors[-1].removeprefix("ERROR: ") if errors else f"exit code {done.returncode}"
    return f"not installable: {said}"
