"""The model card beside the weights: for people as Markdown, for the tests as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.bars import Bar
from benchmarks.card.steerability import Best
from selfsteer.pocket.weights import weights_path
from selfsteer.steering.model import Student

HEAD = """\
# Pocket

A small instruct model that is bundled with selfsteer as a model organism: it lives in a toy world
whose grammar is known, so an oracle can say exactly what a text of its expresses.

- Architecture: Mistral, {layers} blocks, width {width}, sliding window {window}, {parameters:,}
  parameters, byte-level BPE of {vocabulary:,} tokens, chat template included.
- Checkpoints: `pocket-base` (trained on plain text alone) and `pocket` (instruct, from base).
- Data: drawn from the grammar in `selfsteer/pocket`; no text comes from anywhere else.
- Use: tests, demonstrations, and studies of steering. It knows nothing of the real world.
- Fingerprint: `{fingerprint}`

## Measured

On wordings that training never used (`make card`); sampling at temperature 0.8, facts greedily.

| bar | value | limit | met | note |
|---|---|---|---|---|
"""
STEERING = """
## Steering every attribute value

Plain response-mean difference at one block; block, strength and steered tokens chosen on
development probes, figures from 400 report probes. Strength is in residual norms of the block.

| family | value | block | strength | tokens | expression | well-formed |
|---|---|---|---|---|---|---|
"""


def write_card(student: Student, bars: Sequence[Bar], found: Sequence[Best]) -> None:
    """Write MODEL_CARD.md and card.json into the folder of the bundled weights."""
    config = student.model.config
    text = HEAD.format(
        layers=student.n_layers,
        width=student.d_model,
        window=config.sliding_window,
        parameters=student.model.num_parameters(),
        vocabulary=config.vocab_size,
        fingerprint=student.fingerprint,
    )
    for bar in bars:
        sign = "≥" if bar.at_least else "≤"
        met = "yes" if bar.met else "**no**"
        text += f"| {bar.name} | {bar.value:.3f} | {sign} {bar.limit:g} | {met} | {bar.note} |\n"
    text += STEERING
    for best in found:
        text += (
            f"| {best.family} | {best.value} | {best.point.layer} | {best.point.strength:.2f} "
            f"| `{best.point.selector}` | {best.expression:.3f} | {best.well_formed:.3f} |\n"
        )
    folder = weights_path("pocket").parent
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    card = {
        "fingerprint": student.fingerprint,
        "bars": {bar.name: {"value": round(bar.value, 4), "met": bar.met} for bar in bars},
        "steering": [
            {
                "family": best.family,
                "value": best.value,
                **best.point._asdict(),
                "expression": best.expression,
                "well_formed": best.well_formed,
            }
            for best in found
        ],
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
