"""The data stream is the same wherever it is entered."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from selfsteer.errors import DatasetError
from selfsteer.pocket import stream as stream_module
from selfsteer.pocket.segments import Segment
from selfsteer.pocket.stream import Position, Stream, read_extra
from selfsteer.pocket.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["The frog sings."] * 4, 300)
EXTRA = (Segment("user", "ZZZ", False), Segment("assistant", "QQQ", True))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CHUNK", 12)


def stream(seed: int = 0, share: float = 0.0) -> Stream:
    extra = (EXTRA,) if share else ()
    return Stream(
        TOKENIZER, "instruct", seed=seed, rows=2, length=128, extra=extra, extra_share=share
    )


def test_entering_in_the_middle_gives_the_rest() -> None:
    whole = list(islice(stream().steps(Position()), 30))
    assert len({position.chunk for _, position in whole}) > 1
    for entry in (0, 7, 19):
        resumed = islice(stream().steps(whole[entry][1]), 30 - entry - 1)
        for (expected, at), (actual, position) in zip(whole[entry + 1 :], resumed, strict=True):
            assert position == at
            assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))


def test_steps_have_one_shape_and_depend_on_the_seed() -> None:
    first, second = (next(stream(seed).steps(Position()))[0] for seed in (0, 1))
    assert first.ids.shape == second.ids.shape == (2, 128)
    assert not torch.equal(first.ids, second.ids)


def test_extra_documents_take_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CHUNK", 300)
    text = "".join(TOKENIZER.decode(row) for rows in stream(share=0.4).chunk(0) for row in rows.ids)
    assert 80 <= text.count("<|user|>ZZZ<|end|><|assistant|>QQQ<|end|>") <= 160


def test_read_extra(tmp_path: Path) -> None:
    path = tmp_path / "extra.jsonl"
    path.write_text('[["user", "ZZZ", false], ["assistant", "QQQ", true]]\n')
    assert read_extra(path) == [EXTRA]


@pytest.mark.parametrize("content", ["", "{", "[[1]]\n", "3\n", '[["narrator", "a", true]]\n'])
def test_read_extra_names_a_bad_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "extra.jsonl"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"extra\.jsonl"):
        read_extra(path)
