"""`python -m benchmarks.overdosed`: questions about replies that Pocket really gave while steered.

For a stretch of training (`python -m selfsteer.pocket.train --extra FILE`). The broken texts of the
corpus imitate what an overdose does; a student that is trained on them alone may take "music music
plus music, so yes", which is what its own overdose looks like, for a text about music. Blocks,
strengths and tokens are drawn at random, all wordings are those of training, and only replies that
are broken are kept: of others the corpus has enough.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from random import Random

from benchmarks.card.replies import MAX_NEW_TOKENS, TEMPERATURE, VALUES, prompts
from benchmarks.card.steerability import SELECTORS, Point, value_vector
from selfsteer.pocket import oracle
from selfsteer.pocket.corpus import answered
from selfsteer.pocket.judging import REQUEST_FORMATS
from selfsteer.pocket.lexicon import FAMILIES
from selfsteer.pocket.segments import Document
from selfsteer.pocket.wordings import instruction
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student

PAIRS = 128
STRENGTHS = (0.6, 3.0)  # in residual norms, drawn evenly on a logarithmic scale
RATE_OF_ASKED_VALUE = 0.8  # of the questions ask for the value that was pushed to


def main() -> int:
    """Steer, ask, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="pocket", help="a bundled name or a checkpoint folder")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines to write")
    parser.add_argument("--texts", type=int, default=400, help="steered replies of each value")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    student = Student.load(options.student)
    lines = [
        json.dumps(document, ensure_ascii=False)
        for family, value in VALUES
        for document in questions(student, family, value, options.texts, options.seed)
    ]
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} questions in {options.out}")
    return 0


def questions(student: Student, family: str, value: str, count: int, seed: int) -> list[Document]:
    """One question and its reasoned verdict for each broken one of `count` steered replies."""
    rng = Random(f"overdosed-{value}-{seed}")
    vector = value_vector(student, {family: value}, pairs=PAIRS, lot=f"overdosed-{seed}")
    points = [_drawn_point(rng, student.n_layers) for _ in range(count)]
    found = generate(
        student,
        prompts(rng, count, split="train"),
        [point.plan(vector) for point in points],
        temperature=TEMPERATURE,
        max_new_tokens=MAX_NEW_TOKENS,
        seed=seed,
    )
    broken = [reply.text for reply in found if not oracle.well_formed(reply.text)]
    return [_question(rng, text, family, value) for text in broken]


def _drawn_point(rng: Random, layers: int) -> Point:
    low, high = STRENGTHS
    strength = low * (high / low) ** rng.random()
    return Point(rng.randrange(layers), strength, rng.choice(SELECTORS))


def _question(rng: Random, text: str, family: str, value: str) -> Document:
    if rng.random() >= RATE_OF_ASKED_VALUE:
        value = rng.choice(FAMILIES[family])
    question = rng.choice(REQUEST_FORMATS).format(
        text=text, request=instruction(rng, family, value, "train")
    )
    return answered(question, text, {family: value})


if __name__ == "__main__":
    sys.exit(main())
