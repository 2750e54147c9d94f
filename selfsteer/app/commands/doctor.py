"""`selfsteer doctor`: is everything in place?"""

from __future__ import annotations

import platform
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import typer

from selfsteer.app import options
from selfsteer.app.loading import load_student, named_encoder, open_memory
from selfsteer.app.output import literal, print_json, stdout
from selfsteer.app.settings import AppSettings
from selfsteer.errors import MemoryFileError, SelfsteerError

LEAST_FREE = 200 * 2**20  # bytes: some hundred runs
_MEGABYTE = 2**20


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def doctor(db: options.Db = None, json_: options.Json = False) -> None:
    """Check the installation, the bundled students and the memory; exit code 1 on a problem."""
    path = db or AppSettings().db
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", platform.python_version),
        ("torch", _torch),
        ("pocket", lambda: _student("pocket")),
        ("pocket-base", lambda: _student("pocket-base")),
        ("encoder", _encoder),
        ("memory", lambda: _memory(path)),
        ("checkpoints", lambda: _checkpoints(path)),
        ("disk", lambda: _disk(path)),
    ]
    found = list(_carried_out(checks))
    if json_:
        healthy = all(check.ok for check in found)
        print_json({"ok": healthy, "checks": [check._asdict() for check in found]})
    else:
        for check in found:
            word = "ok     " if check.ok else "problem"
            stdout().print(literal(f"{word}  {check.name}: {check.detail}"))
    if not all(check.ok for check in found):
        raise typer.Exit(1)


def _carried_out(checks: list[tuple[str, Callable[[], str]]]) -> Iterator[Check]:
    for name, check in checks:
        try:
            yield Check(name, True, check())
        except (SelfsteerError, OSError, ImportError, sqlite3.Error) as error:
            yield Check(name, False, str(error))


def _torch() -> str:
    import torch
    import transformers

    devices = f"{torch.cuda.device_count()} CUDA devices" if torch.cuda.is_available() else "cpu"
    return (
        f"{torch.__version__} on {devices}, {torch.get_num_threads()} threads, "
        f"transformers {transformers.__version__}"
    )


def _student(name: str) -> str:
    """Load a bundled student, and let it say a word."""
    from selfsteer.steering.generate import generate
    from selfsteer.steering.prompts import Prompt

    student = load_student(name, "cpu", "float32")
    generate(student, [Prompt.chat("Hello.")], max_new_tokens=1, temperature=0)
    size = sum(parameter.numel() for parameter in student.model.parameters())
    return (
        f"{size / 1e6:.1f} M parameters, {student.n_layers} blocks of width {student.d_model}, "
        f"fingerprint {student.fingerprint[:12]}"
    )


def _encoder() -> str:
    """Load the sentence encoder that is named, and let it read a word."""
    encoder = named_encoder()
    if encoder is None:
        return "none is named; goals are recalled by their words"
    return f"{encoder.name}, points of {encoder(['Hello.']).shape[1]} numbers"


def _memory(path: Path) -> str:
    if not path.exists() and path.parent.is_dir():
        return f"{path} does not exist yet; the first run makes it"
    with open_memory(path, read_only=True) as memory:
        runs, vectors = len(memory.runs.all()), len(memory.vectors())
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as raw:
        version = raw.execute("PRAGMA user_version").fetchone()[0]
        fault = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise MemoryFileError(f"The memory {path} is damaged ({fault}); restore a backup.")
    return f"{path}, schema {version}, {runs} runs, {vectors} vectors, {_size(path)}"


def _checkpoints(path: Path) -> str:
    """The file of the loop's checkpoints: it holds the place of every run that has not ended."""
    beside = path.with_name(f"{path.name}.checkpoints")
    if not beside.exists():
        return f"{beside} does not exist yet; the first run makes it"
    with closing(sqlite3.connect(f"{beside.resolve().as_uri()}?mode=ro", uri=True)) as raw:
        waiting = raw.execute("SELECT count(DISTINCT thread_id) FROM checkpoints").fetchone()[0]
    return f"{beside}, {waiting} runs that can be resumed, {_size(beside)}"


def _disk(path: Path) -> str:
    folder = path.resolve().parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise SelfsteerError(
            f"{free / _MEGABYTE:.0f} MB are free at {folder}; have {LEAST_FREE / _MEGABYTE:.0f}."
        )
    return f"{free / 2**30:.1f} GB are free at {folder}"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / _MEGABYTE:.1f} MB"
