"""`make card`: measure Pocket against its bars, and write its model card.

Everything is measured on wordings that training never used, sampling at temperature 0.8 unless
stated, with fixed seeds.
"""

from __future__ import annotations

import argparse
import sys

from rich.progress import track

from benchmarks.bars import publish
from benchmarks.card.facts import facts
from benchmarks.card.judging import judge_skill
from benchmarks.card.model_card import write_card
from benchmarks.card.obedience import obedience, prior
from benchmarks.card.replies import VALUES
from benchmarks.card.steerability import best_single, steerability
from benchmarks.card.users import user_gain
from selfsteer.steering.model import Student


def main() -> int:
    """Measure, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="pocket", help="a bundled name or a checkpoint folder")
    parser.add_argument("--write", action="store_true", help="write the card beside the weights")
    options = parser.parse_args()
    student = Student.load(options.student)
    bars = [*obedience(student), prior(student), facts(student), user_gain(student)]
    steps = track(VALUES, "Steering every attribute value", disable=not sys.stderr.isatty())
    found = [best_single(student, family, value) for family, value in steps]
    bars += [steerability(found), *judge_skill(student, found)]
    if options.write:
        write_card(student, bars, found)
    return publish("card", bars)


if __name__ == "__main__":
    sys.exit(main())
