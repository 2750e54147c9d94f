"""Bars: met or missed, and the file that they are written to."""

from __future__ import annotations

import json
from pathlib import Path

from selfsteer.scenarios.bars import Bar, write_bars


def test_bars_are_written_as_a_list(tmp_path: Path) -> None:
    bars = [Bar("enough", 1.0, 0.5), Bar("too much", 2.0, 1.5, at_least=False, note="é")]
    write_bars("study", bars, tmp_path / "new" / "bars")
    told = json.loads((tmp_path / "new" / "bars" / "study.json").read_text(encoding="utf-8"))
    assert told == [
        {"name": "enough", "value": 1.0, "limit": 0.5, "note": "", "met": True},
        {"name": "too much", "value": 2.0, "limit": 1.5, "note": "é", "met": False},
    ]
