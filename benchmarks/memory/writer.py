"""A process that writes to a memory and acknowledges each write once its call has returned."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import torch
from pydantic import JsonValue

from benchmarks.memory.vectors import vector_of
from selfsteer.errors import MemoryFileError
from selfsteer.memory import Memory
from selfsteer.steering.vectors import SteeringVector

WIDTH = 64  # small, so that many moments of a write are near the start or the end of one


def write(path: Path, writer: int, numbers: range, told: Connection) -> None:
    """Make the writes with these numbers; the name that each one got is told after it.

    Vectors, replies and events of a run take turns, so that what refers is written beside what it
    refers to.
    """
    torch.set_num_threads(1)
    with Memory.open(path) as memory:
        for number in numbers:
            told.send(_write_one(memory, writer, number))


def _write_one(memory: Memory, writer: int, number: int) -> str:
    match number % 3:
        case 0:
            return memory.put_vector(vector(writer, number))
        case 1:
            return memory.put_generations(replies(writer, number))
        case _:
            name = str(number)
            memory.runs.add_event(run_of(writer), "note", note(writer, number), key=name)
            return name


def kept(memory: Memory, writer: int, number: int, name: str) -> bool:
    """Whether a write is there, under the name that it was told by, as it was written."""
    try:
        match number % 3:
            case 0:
                return memory.get_vector(name) == vector(writer, number)
            case 1:
                return memory.get_generations(name) == replies(writer, number)
            case _:
                events = memory.runs.events(run_of(writer))
                return any(e.key == name and e.payload == note(writer, number) for e in events)
    except MemoryFileError:
        return False


def run_of(writer: int) -> str:
    """The id of a writer's run."""
    return f"writer-{writer}"


def vector(writer: int, number: int) -> SteeringVector:
    """The vector of a write, the same in every process."""
    generator = torch.Generator().manual_seed(1_000_000 * writer + number)
    return vector_of(torch.randn(2, WIDTH, generator=generator), f"write {number} of {writer}")


def replies(writer: int, number: int) -> list[dict[str, JsonValue]]:
    """The replies of a write."""
    return [{"writer": writer, "reply": f"{number} " * 100}]


def note(writer: int, number: int) -> dict[str, JsonValue]:
    """The event of a write: it names the vector that was written two numbers before."""
    return {"vector_id": vector(writer, number - 2).id}
