"""Sentence encoders for tests: one that is scripted, and a real one of random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import BertConfig, BertModel, BertTokenizerFast


class ScriptedEncoder:
    """Points in a plane: each text lies at the angle, in degrees, that is given for it.

    Attributes:
        asked: the texts of every call.
    """

    def __init__(self, **angles: float) -> None:
        self._angles = angles
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append(list(texts))
        turned = np.radians([self._angles.get(text.replace(" ", "_"), 90.0) for text in texts])
        # Not of length 1: whoever compares has to see to that.
        return 3 * np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


def save_encoder(folder: Path) -> Path:
    """A tiny BERT of random weights with mean pooling, as sentence-transformers saves it."""
    library: Any = pytest.importorskip(
        "sentence_transformers", reason="needs the extra: pip install 'selfsteer[embeddings]'"
    )
    modules = pytest.importorskip("sentence_transformers.models")
    plain = folder / "bert"
    plain.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    (plain / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(plain)
    BertTokenizerFast(str(plain / "vocab.txt")).save_pretrained(plain)
    words = modules.Transformer(str(plain), max_seq_length=32)
    pooling = modules.Pooling(config.hidden_size)
    made = folder / "encoder"
    library.SentenceTransformer(modules=[words, pooling], device="cpu").save(
        str(made), create_model_card=False
    )
    return made
