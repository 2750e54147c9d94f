"""Documents become rows: nothing is lost, cut or learned that should not be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from selfsteer.pocket.packing import IGNORED, Encoded, encode_documents, fit, pack, targets
from selfsteer.pocket.segments import Segment
from selfsteer.pocket.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["The frog sings.", "La grenouille chante."] * 4, 320)


CHAT = (
    Segment("system", "Sing.", False),
    Segment("user", "A frog?", True),
    Segment("assistant", "The frog sings.", True),
)


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(40, 90))
def test_fit_places_every_length_once_and_never_overfills(
    lengths: list[int], capacity: int
) -> None:
    groups = fit(lengths, capacity)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in group) <= capacity for group in groups)
    # Best fit never leaves two rows that would go into one.
    fills = sorted(sum(lengths[i] for i in group) for group in groups)
    assert len(fills) < 2 or fills[0] + fills[1] > capacity


@given(st.lists(st.integers(2, 70), min_size=1, max_size=30))
def test_pack_keeps_each_document_whole_unless_it_is_longer_than_a_row(lengths: list[int]) -> None:
    documents = [
        Encoded(
            [1000 * n + i for i in range(length)],
            [IGNORED] + [5] * (length - 1),
            [0.0] + [1.0] * (length - 1),
        )
        for n, length in enumerate(lengths)
    ]
    rows = pack(documents, 32, pad=-7)
    assert rows.ids.shape == rows.labels.shape == rows.documents.shape
    found: dict[int, list[int]] = {}
    for ids, numbers in zip(rows.ids.tolist(), rows.documents.tolist(), strict=True):
        for number in set(numbers) - {0}:
            piece = [i for i, m in zip(ids, numbers, strict=True) if m == number]
            assert piece == list(range(piece[0], piece[0] + len(piece)))
            found.setdefault(piece[0] // 1000, []).extend(piece)
    assert {n: sorted(piece) for n, piece in found.items()} == {
        n: document.ids for n, document in enumerate(documents)
    }
    assert ((rows.ids == -7) == (rows.documents == 0)).all()
    assert (rows.labels[rows.documents == 0] == IGNORED).all()


def test_labels_cover_the_learned_turns_and_their_ends(tokenizer: PreTrainedTokenizerFast) -> None:
    (encoded,) = encode_documents(tokenizer, [CHAT])
    learned = [i for i in encoded.labels if i != IGNORED]
    assert tokenizer.decode(learned) == "A frog?<|end|>The frog sings.<|end|>"
    assert tokenizer.decode(encoded.ids) == (
        "<|bos|><|system|>Sing.<|end|><|user|>A frog?<|end|><|assistant|>The frog sings.<|end|>"
    )
    assert all(label in (IGNORED, i) for i, label, _ in zip(*encoded, strict=True))


def test_plain_text_is_learned_between_bos_and_end(tokenizer: PreTrainedTokenizerFast) -> None:
    (encoded,) = encode_documents(tokenizer, [(Segment("text", "The frog", True),)])
    assert tokenizer.decode(encoded.ids) == "<|bos|>The frog<|end|>"
    assert encoded.labels == [IGNORED, *encoded.ids[1:]]


def test_targets_pair_each_label_with_the_position_before_it(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rows = pack(encode_documents(tokenizer, [CHAT] * 5), 64, tokenizer.pad_token_id)
    positions, labels, _ = targets(rows.labels, rows.weights)
    flat_ids, flat_documents = rows.ids.flatten(), rows.documents.flatten()
    assert torch.equal(flat_ids[positions + 1], labels)
    assert torch.equal(flat_documents[positions + 1], flat_documents[positions])
    assert len(labels) == (rows.labels != IGNORED).sum()


def test_the_start_of_a_cut_piece_is_not_predicted_from_another_document() -> None:
    document = Encoded(list(range(10)), [IGNORED, *range(1, 10)], [0.0] + [1.0] * 9)
    rows = pack([document], 4, pad=99)
    starts = [row.index(i) for row in rows.ids.tolist() for i in row if i in (0, 4, 8)]
    assert starts == [0, 0, 0]
    assert rows.labels[:, 0].tolist() == [IGNORED] * 3


def test_each_label_keeps_the_weight_of_its_segment(tokenizer: PreTrainedTokenizerFast) -> None:
    documents = [
        (Segment("user", "A frog?", 0.0), Segment("assistant", "The frog", 3.0)),
        (Segment("text", "The frog sings", 1.0),),
    ]
    rows = pack(encode_documents(tokenizer, documents), 64, tokenizer.pad_token_id)
    positions, labels, weights = targets(rows.labels, rows.weights)
    numbers = rows.documents.flatten()[positions]
    by_weight = {w: tokenizer.decode(labels[weights == w]) for w in set(weights.tolist())}
    assert by_weight == {3.0: "The frog<|end|>", 1.0: "The frog sings<|end|>"}
    assert len(set(numbers[weights == 3.0].tolist())) == 1
