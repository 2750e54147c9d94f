"""Loading sentence encoders: real ones of random weights, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from selfsteer.errors import EncoderError
from selfsteer.memory import encoder as module
from selfsteer.memory.encoder import SentenceEncoder
from tests.memory.encoders import save_encoder

TEXTS = ["a sad face", "an angry, rather longer sentence", "x"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def refusal(name: str | Path) -> str:
    with pytest.raises(EncoderError) as caught:
        SentenceEncoder(str(name)).load()
    return str(caught.value)


def test_a_saved_encoder_gives_what_its_model_says(saved: Path) -> None:
    points = SentenceEncoder(str(saved))(TEXTS)
    assert (points.shape, points.dtype) == ((3, 16), np.float32)
    np.testing.assert_allclose(points, mean_pooled(saved, TEXTS), atol=1e-5)


def mean_pooled(folder: Path, texts: Sequence[str]) -> Any:
    """The mean of the last hidden states, one text at a time, without sentence-transformers."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        states = [model(**tokenizer(text, return_tensors="pt"))[0] for text in texts]
    return np.stack([state[0].mean(0).numpy() for state in states])


def test_nothing_is_read_before_it_is_needed(saved: Path, tmp_path: Path) -> None:
    encoder = SentenceEncoder(str(tmp_path / "later"))
    shutil.copytree(saved, tmp_path / "later")
    encoder.load()
    shutil.rmtree(tmp_path / "later")
    assert encoder(["a"]).shape == (1, 16)


def test_an_encoder_of_the_hub_is_fetched_without_pickles(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def fetch(name: str, **options: Any) -> str:
        told.update(options, name=name)
        return str(saved)

    monkeypatch.setattr(module, "hub_problem", lambda name: "")
    monkeypatch.setattr(module, "snapshot_download", fetch)
    assert SentenceEncoder("some/encoder")(["a"]).shape == (1, 16)
    assert (told["name"], told["local_files_only"]) == ("some/encoder", False)
    assert "*.safetensors" in told["allow_patterns"]
    assert not any("bin" in pattern for pattern in told["allow_patterns"])


def test_weights_that_are_pickled_are_refused(saved: Path, tmp_path: Path) -> None:
    """Also those of one module: sentence-transformers would read them."""
    pickled = tmp_path / "pickled"
    shutil.copytree(saved, pickled)
    (pickled / "2_Dense").mkdir()
    (pickled / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    assert "pickles are refused" in refusal(pickled)
    (pickled / "2_Dense" / "pytorch_model.bin").unlink()
    SentenceEncoder(str(pickled)).load()
    (pickled / "model.safetensors").unlink()
    assert "pickles are refused" in refusal(pickled)


def test_code_of_the_model_is_not_run(saved: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(saved, strange)
    (strange / "own.py").write_text("raise SystemExit('run')\n", encoding="utf-8")
    modules = json.loads((strange / "modules.json").read_text(encoding="utf-8"))
    modules[0]["type"] = "own.Module"
    (strange / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    assert "could not be loaded" in refusal(strange)


def test_what_cannot_be_read_is_refused_in_a_sentence(saved: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(saved, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    said = refusal(broken)
    assert said.startswith(f"The sentence encoder {broken} could not be loaded (")
    assert said.endswith(").")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("./none", "There is no folder ./none"),
        ("none/at-all", "Unknown sentence encoder 'none/at-all'"),
    ],
)
def test_what_is_not_there_is_refused(
    name: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_library", object)  # it is not come to
    assert part in refusal(name)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert "pip install 'selfsteer[embeddings]'" in refusal("some/encoder")
