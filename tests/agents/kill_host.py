"""A warm process that forks runs which kill themselves; `test_kills` tells it where.

It reads a JSON object a line and answers each with the exit status of the run that it forked.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from selfsteer.agents import graph, loop
from selfsteer.agents.budget import Budget
from selfsteer.agents.controller import Controller
from selfsteer.agents.models.anthropic_model import AnthropicModel
from selfsteer.agents.paid_batches import BatchedCalls
from selfsteer.agents.paid_calls import CallInDoubt, PaidCalls
from selfsteer.errors import MemoryFileError
from selfsteer.memory.ledger import Ledger
from selfsteer.memory.runs import Runs
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    Scripted,
    build_talker,
    deal_few,
    settings,
    split_then_confirm,
)
from tests.agents.paid_doubles import price
from tests.agents.paid_scripted import Batching, PaidScripted

IN_DOUBT, MISTAKE = 3, 1


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def always(*_: Any) -> bool:
    """Whichever call it is."""
    return True


def strike(owner: Any, name: str, late: bool, here: Callable[..., bool] = always) -> None:
    """Die before or after a call of a method, where `here` says so of its arguments."""
    method = getattr(owner, name)

    def struck(*arguments: Any, **named: Any) -> Any:
        now = here(*arguments)
        if now and not late:
            die()
        result = method(*arguments, **named)
        if now:
            die()
        return result

    setattr(owner, name, struck)


def strike_call(memory: Memory, run_id: str, point: str, late: bool, number: int) -> None:
    """Die at a step of the run's paid call of that number, however often it is asked."""

    def here(*_: Any) -> bool:
        entries = memory.ledger.entries(run_id)
        calls = list(dict.fromkeys((e.step, e.request_hash) for e in entries))
        begun = point == "begin" and not any(e.status == "sent" for e in entries)
        # The call that is under way is the last one, unless it is only about to be begun.
        return len(calls) - (0 if begun else 1) == number

    strike(AnthropicModel if point == "send" else Ledger, point, late, here)


def strike_node(name: str, late: bool, spared: int = 0) -> None:
    """Die at the top of a node, or behind all that it writes and before its checkpoint.

    Args:
        spared: how often the node comes through before.
    """
    left = [None] * spared

    def doomed(node: Any) -> Any:
        @functools.wraps(node)
        def struck(*arguments: Any) -> Any:
            if left:
                left.pop()
                return node(*arguments)
            if not late:
                die()
            node(*arguments)
            die()

        return struck if node.__name__ == name else node

    graph.OPENING = tuple(map(doomed, graph.OPENING))
    graph.OTHERS = tuple(map(doomed, graph.OTHERS))


def strike_as(memory: Memory, run_id: str, kill: dict[str, Any]) -> None:
    """Prepare the death that is ordered."""
    match kill:
        case {"at": "node", "name": name, "late": late}:
            strike_node(name, late, kill.get("spared", 0))
        case {"at": "call", "name": name, "late": late, "number": number}:
            strike_call(memory, run_id, name, late, number)
        case {"at": "batch", "name": name, "late": late}:
            strike(
                AnthropicModel if name in ("start_batch", "finish_batch") else Ledger, name, late
            )
        case {"at": "end", "name": name, "late": late}:
            strike(Runs, name, late)
        case _:
            raise ValueError(f"unknown order {kill}")


def controller_of(order: dict[str, Any], memory: Memory, budget: Budget) -> Controller:
    """Who decides: one that is "whole", splits its goal into "parts", or pays for "batches"."""
    model = AnthropicModel("model-of-the-tests", base_url=order["url"])
    paying = (memory.ledger, order["run"], budget, model, price, order["on_ambiguous"])
    if order["who"] == "batches":
        return Batching(BatchedCalls(*paying))
    decide = split_then_confirm if order["who"] == "parts" else None
    return PaidScripted(PaidCalls(*paying), decide)


def live(talker: Student, order: dict[str, Any]) -> int:
    """Begin or resume a run, and die on the way if told to."""
    run_id = order["run"]
    with Memory.open(order["db"]) as memory:
        if order["kill"]:
            strike_as(memory, run_id, order["kill"])
        chosen = settings(budget=Budget(**order["budget"]), approve=frozenset(order["approve"]))
        controller = controller_of(order, memory, chosen.budget)
        try:
            memory.runs.get(run_id)
        except MemoryFileError:
            loop.run_goal(talker, controller, memory, chosen, run_id=run_id)
        else:
            try:
                loop.resume_run(run_id, talker, controller, memory)
            except CallInDoubt:
                return IN_DOUBT
    return 0


def main() -> None:
    """Warm up, then fork a run for every line."""
    torch.set_num_threads(1)
    loop.deal_probes = deal_few
    talker = build_talker()
    with tempfile.TemporaryDirectory() as folder, Memory.open(Path(folder) / "m.db") as memory:
        loop.run_goal(talker, Scripted(), memory, settings())
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = MISTAKE
            try:
                code = live(talker, json.loads(line))
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
