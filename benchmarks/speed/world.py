"""The model, texts and prompts that everything is timed on; peers read them from one folder."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt

FOLDER = Path("build/bench")
VOCABULARY, WIDTH, LAYERS = 32_000, 256, 12
MIDDLE = LAYERS // 2
TEXTS, SHORTEST, LONGEST = 256, 9, 200
PROMPT_WORDS = 24


def write_world(folder: Path = FOLDER, *, width: int = WIDTH, layers: int = LAYERS) -> Path:
    """A random Llama, a tokenizer of whole words, and the texts; returns `folder`."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    model: Any = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = None  # every reply has the length that is asked for
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    rows = {**{lot: draw() for lot, draw in LOTS.items()}, "prompts": prompts(32)}
    (folder / "work.json").write_text(json.dumps(rows))
    return folder


def load_world(folder: Path = FOLDER) -> Student:
    """The model as a student of ours."""
    return Student.load(str(folder))


def texts(count: int = TEXTS) -> list[str]:
    """Texts of 9 to 200 words, evenly spread, in no order."""
    rng = Random("texts")
    lengths = [SHORTEST + i * (LONGEST - SHORTEST) // max(1, count - 1) for i in range(count)]
    rng.shuffle(lengths)
    return [_words(rng, length) for length in lengths]


def answered(count: int = TEXTS) -> list[str]:
    """Questions with one of two answers, as contrastive datasets have them: the texts of a pair
    are of one length, 9 to 200 words, and differ in their last word.
    """
    rng = Random("answered")
    found = []
    for text in texts(count)[::2]:
        question, _, _ = text.rpartition(" ")
        found += [f"{question} {_words(rng, 1)}" for _ in range(2)]
    return found


LOTS = {"texts": texts, "answered": answered}


def prompts(count: int) -> list[str]:
    """Prompts of one length."""
    rng = Random("prompts")
    return [_words(rng, PROMPT_WORDS) for _ in range(count)]


def dataset(of: list[str]) -> ContrastiveDataset:
    """The texts as pairs: first and second, third and fourth, and so on."""
    sides = [Example(prompt=Prompt.raw(text)) for text in of]
    pairs = zip(sides[::2], sides[1::2], strict=True)
    return ContrastiveDataset(
        concept="benchmark", pairs=tuple(ContrastivePair(positive=p, negative=n) for p, n in pairs)
    )


def _words(rng: Random, count: int) -> str:
    return " ".join(f"w{rng.randrange(3, VOCABULARY)}" for _ in range(count))


def _tokenizer() -> PreTrainedTokenizerFast:
    special = ["<pad>", "<s>", "</s>"]
    vocabulary = {word: i for i, word in enumerate(special)}
    vocabulary |= {f"w{i}": i for i in range(len(special), VOCABULARY)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
