"""Batches side by side: threads that each read batches of their own with some of the cores.

On a CPU the products of one batch are too small to be divided well among cores, and what stands
between products (norms, rotary factors, activations) is hardly divided at all. Whole batches are
independent of each other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import nn

from selfsteer.steering.model import Student

Piece = TypeVar("Piece")
Result = TypeVar("Result")
# With fewer pieces to a lane, lanes that have nothing left to do wait too long for the last one.
PIECES = 4


def in_lanes(
    student: Student,
    pieces: Sequence[Piece],
    do: Callable[[Student, Piece], Result],
    take: Callable[[Piece, Result], object] = lambda piece, result: None,
) -> None:
    """Do every piece of work, several at once where that is faster; same results in either case.

    Args:
        do: runs in one of several threads, with a student of that thread's own on the same weights;
            changes nothing but what belongs to its piece.
        take: gets each piece and its result, in the order of the pieces, in the calling thread.
    """
    students = [student, *_twins(student, _lanes(student, len(pieces)) - 1)]
    if len(students) == 1:
        for piece in pieces:
            take(piece, do(student, piece))
        return
    free: SimpleQueue[Student] = SimpleQueue()
    for each in students:
        free.put(each)

    def run(piece: Piece) -> Result:
        mine = free.get()
        try:
            return do(mine, piece)
        finally:
            free.put(mine)

    threads = torch.get_num_threads()
    share = threads // len(students)
    try:
        with ThreadPoolExecutor(len(students), "lane", torch.set_num_threads, (share,)) as pool:
            for piece, result in zip(pieces, pool.map(run, pieces), strict=True):
                take(piece, result)
    finally:
        # What a lane has set is also what threads that are started later begin with.
        torch.set_num_threads(threads)


def _lanes(student: Student, pieces: int) -> int:
    """How many lanes share torch's threads evenly and have enough to do."""
    threads = torch.get_num_threads()
    if student.device.type != "cpu" or not _is_plain(student.model):
        return 1
    enough = max(1, pieces // PIECES)
    return max(n for n in range(1, min(threads, enough) + 1) if threads % n == 0)


def _is_plain(model: nn.Module) -> bool:
    """Whether a copy of the modules does what they do, and nothing that both would change.

    Hooks and replaced forwards (accelerate's offloading, somebody's steering) may keep a state
    outside the modules, and quantised weights have kinds of their own.
    """
    return getattr(model, "hf_quantizer", None) is None and not any(
        module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
        for module in model.modules()
    )


def _twins(student: Student, count: int) -> list[Student]:
    """Students with modules of their own on the same weights; none where modules cannot be copied.

    Hooks, and what some families note down in a forward (rotary factors for the length at hand),
    belong to a module, so that two forwards at once cannot share it.
    """
    twins = []
    for _ in range(count):
        known: dict[int, object] = {id(weight): weight for weight in student.model.parameters()}
        try:
            model = copy.deepcopy(student.model, known)
        except (TypeError, RuntimeError):  # a lock, a tensor within a graph, ...
            return []
        layers = [known[id(block)] for block in student.layers]
        twins.append(Student(model, student.tokenizer, student.name, layers))  # type: ignore[arg-type]
    return twins
