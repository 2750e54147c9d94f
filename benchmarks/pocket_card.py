"""`make card`: measure Pocket against its bars, and write its model card.

Everything is measured on wordings that training never used, sampling at temperature 0.8 unless
stated, with fixed seeds. `--draw` measures again on prompts that had no say in any choice.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import torch
from rich.progress import track

from benchmarks.bars import publish
from benchmarks.card.facts import facts
from benchmarks.card.judging import Skill, judge_bars, judge_skill
from benchmarks.card.model_card import write_card
from benchmarks.card.obedience import obedience, prior
from benchmarks.card.replies import VALUES
from benchmarks.card.steerability import Best, best_single, steerability
from benchmarks.card.users import user_gain
from selfsteer.steering.model import Student


def main() -> int:
    """Measure, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="pocket", help="a bundled name or a checkpoint folder")
    parser.add_argument("--write", action="store_true", help="write the card beside the weights")
    parser.add_argument(
        "--draw", type=int, default=0, help="other prompts, pairs and samples than the card's own"
    )
    options = parser.parse_args()
    if options.write and options.draw:
        parser.error("the card beside the weights is that of draw 0; leave --draw out.")
    student, draw = Student.load(options.student), options.draw
    bars = [*obedience(student, draw), prior(student, draw), facts(student)]
    bars.append(user_gain(student, draw))
    quiet = not sys.stderr.isatty()
    measured = track(
        each_value(options.student, draw), "Steering every value", total=len(VALUES), disable=quiet
    )
    found, skills = zip(*map(_told, measured), strict=True)
    bars += [steerability(found), *judge_bars(skills)]
    if options.write:
        write_card(student, bars, found)
    return publish("card", bars)


def _told(measured: tuple[Best, Skill]) -> tuple[Best, Skill]:
    """A line for each value as it is known: all of them take minutes."""
    best, skill = measured
    point = best.point
    print(
        f"{best.value}: expression {best.expression:.3f}, well-formed {best.well_formed:.3f} at "
        f"block {point.layer}, {point.strength:.2f}, {point.selector}; judge {skill.clean:.3f} on "
        f"clean replies, {skill.steered:.3f} on steered ones",
        flush=True,
    )
    return measured


def each_value(name: str, draw: int) -> Iterator[tuple[Best, Skill]]:
    """The best steering of every value, and how well it is judged; one process for each core."""
    spawned = get_context("spawn")  # a fork would inherit the threads' locks
    with ProcessPoolExecutor(os.cpu_count(), spawned, torch.set_num_threads, (1,)) as pool:
        same = [[option] * len(VALUES) for option in (name, draw)]
        yield from pool.map(_one_value, *same, *zip(*VALUES, strict=True))


def _one_value(name: str, draw: int, family: str, value: str) -> tuple[Best, Skill]:
    student = _student(name)
    best = best_single(student, family, value, draw)
    return best, judge_skill(student, best, draw)


@cache
def _student(name: str) -> Student:
    return Student.load(name)


if __name__ == "__main__":
    sys.exit(main())
