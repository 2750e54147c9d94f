"""Runs abreast: each in a process of its own with one thread, watched through the shared memory.

A small student gains little from a second thread, and almost all from a second process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import typer

from selfsteer.agents.controller import Controller
from selfsteer.agents.loop import run_goal
from selfsteer.agents.settings import RunSettings
from selfsteer.app.allocator import keep_freed_memory
from selfsteer.app.draining import DRAINED
from selfsteer.app.hints import command
from selfsteer.app.inputs import Inputs
from selfsteer.app.loading import load_student
from selfsteer.app.lookout import Lookout
from selfsteer.app.output import stderr
from selfsteer.app.watch import say_stopped
from selfsteer.errors import SelfsteerError
from selfsteer.memory.records import Run
from selfsteer.memory.runs import fresh_id
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student

Build = Callable[[Student], Controller]
_PAUSE = 0.25  # seconds between two looks
_stopping: Event | None = None  # of a process that runs are given to


def run_abreast(
    memory: Memory,
    inputs: Inputs,
    orders: Sequence[RunSettings],
    build: Build,
    processes: int,
) -> list[Run]:
    """Begin runs, as many at once as there are processes, and wait until all have ended.

    Args:
        inputs: where the student and the capability questions come from.
        build: makes the controller, in the process of the run.

    Returns:
        the runs, in the order of their settings.

    Raises:
        typer.Exit: on Ctrl-C and SIGTERM, after every run was stopped and the way to go on printed.
        SelfsteerError: that of a run, or that a process was killed, once the others were stopped.
    """
    names = [fresh_id() for _ in orders]
    lookout = Lookout(memory, stderr(), dict(zip(names, orders, strict=True)))
    context = get_context("spawn")  # a fork would inherit the threads' locks
    stopping = context.Event()
    pool = ProcessPoolExecutor(processes, context, _keep_to_itself, (stopping,))
    try:
        with _stopped_by_sigterm(), lookout:
            with _without_interrupts():
                pending = {
                    pool.submit(_live, memory.path, inputs, settings, build, name)
                    for name, settings in zip(names, orders, strict=True)
                }
            while pending:
                done, pending = wait(pending, timeout=_PAUSE)
                lookout.look()
                for future in done:
                    future.result()
    except KeyboardInterrupt as stopped:
        _stop(pool, stopping)
        for name in _unended(memory, names):
            say_stopped(memory, name)
        raise typer.Exit(DRAINED if isinstance(stopped, _Terminated) else 130) from None
    except BrokenProcessPool as error:
        _stop(pool, stopping)
        going_on = ", ".join(
            f"`{command(f'resume {name}', memory.path)}`" for name in _unended(memory, names)
        )
        raise SelfsteerError(
            "A process that a run was in has been killed from outside, perhaps for want of memory; "
            f"go on with {going_on}."
        ) from error
    except BaseException:
        _stop(pool, stopping)
        raise
    pool.shutdown()
    return [memory.runs.get(name) for name in names]


def _unended(memory: Memory, names: Sequence[str]) -> list[str]:
    """Those of the runs that began and have no end."""
    ended = memory.runs.ended()
    begun = {run.id for run in memory.runs.all()}
    return [name for name in names if name in begun - ended]


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the runs as Ctrl-C does."""


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here are born deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(pool: ProcessPoolExecutor, stopping: Event) -> None:
    """Let every run that goes on put on record that it was stopped, and begin no other."""
    stopping.set()
    for child in active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGINT)
    pool.shutdown(cancel_futures=True)


def _keep_to_itself(stopping: Event) -> None:
    """What a process begins with: only its parent interrupts it, and only within a run."""
    global _stopping
    _stopping = stopping
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    keep_freed_memory()


def _live(db: Path, inputs: Inputs, settings: RunSettings, build: Build, name: str) -> None:
    """One run, in a process of its own."""

    def attach(kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "started":
            inputs.attach(memory, name)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # An interrupt from before the line above was not heard.
        if _stopping is None or _stopping.is_set():
            return
        with Memory.open(db) as memory:
            student = _student(inputs.student, inputs.device, inputs.dtype)
            run_goal(
                student,
                build(student),
                memory,
                settings,
                capability=inputs.capability(memory),
                listener=attach,
                run_id=name,
            )
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def _student(name: str, device: str, dtype: str) -> Student:
    return load_student(name, device, dtype)
