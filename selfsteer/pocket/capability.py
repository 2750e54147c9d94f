"""The file of capability questions that lies beside the instruct weights."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from selfsteer.pocket.facts import facts
from selfsteer.pocket.lexicon import LANGUAGES
from selfsteer.pocket.weights import CAPABILITY


def write_capability(folder: Path) -> None:
    """Every fact, asked once in each language in a held-out wording, in an order that mixes them.

    Mixed, so that the first questions of the file are a fair sample of all.
    """
    rng = Random("capability")
    rows = [
        {
            "question": fact.question(language, rng.randrange(2), "held_out"),
            "answers": fact.accepted(),
        }
        for fact in facts()
        for language in LANGUAGES
    ]
    rng.shuffle(rows)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / CAPABILITY).write_text(text, encoding="utf-8")
