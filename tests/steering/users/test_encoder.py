"""The map from messages to vectors: files, ranks, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from selfsteer.errors import DatasetError
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.history import History, Turn
from tests.known import pocket, pocket_encoder
from tests.steering.students import build_student

WORDS = History((Turn("We remember the boat and I weep."),))


def test_a_file_holds_all_of_it() -> None:
    encoder = pocket_encoder()
    again = UserEncoder.from_bytes(encoder.to_bytes())
    assert again.id == encoder.id
    [one], [other] = (each.vectors(pocket(), [WORDS]) for each in (encoder, again))
    assert one == other


@given(st.data())
def test_damaged_files_are_refused_in_a_sentence(data: st.DataObject) -> None:
    whole = bytearray(pocket_encoder().to_bytes())
    place = data.draw(st.integers(0, min(len(whole), 2000) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        UserEncoder.from_bytes(bytes(whole))
    except DatasetError as error:
        assert str(error).endswith(".")


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 64])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DatasetError, match="nothing learned of users"):
        UserEncoder.from_bytes(data)


@pytest.mark.parametrize("header", ['"text"', "[]", "3", "null"])
def test_a_header_that_is_no_mapping_is_refused(header: str) -> None:
    tensors = load(pocket_encoder().to_bytes())
    with pytest.raises(DatasetError, match="nothing learned of users"):
        UserEncoder.from_bytes(save(tensors, {"users": header}))


def test_numbers_that_are_not_finite_are_refused() -> None:
    encoder = pocket_encoder()
    broken = replace(encoder, origin=torch.full_like(encoder.origin, float("nan")))
    with pytest.raises(DatasetError, match="not finite"):
        UserEncoder.from_bytes(broken.to_bytes())


def test_all_shared_vectors_together_are_the_whole_map() -> None:
    encoder = pocket_encoder()
    place = torch.randn(5, len(encoder.space.spread))
    whole = encoder.truncated(encoder.basis.shape[0])
    assert torch.allclose(whole.push(place), encoder.push(place), atol=1e-4)


def test_fewer_shared_vectors_leave_more_out() -> None:
    encoder = pocket_encoder()
    place = torch.randn(200, len(encoder.space.spread), generator=torch.Generator().manual_seed(0))
    left = [
        float((encoder.truncated(size).push(place) - encoder.push(place)).square().sum())
        for size in (1, 4, 8, 16)
    ]
    assert left == sorted(left, reverse=True)
    assert torch.linalg.matrix_rank(encoder.truncated(4).push(place) - encoder.origin) == 4


def test_many_users_are_read_as_each_by_itself() -> None:
    encoder = pocket_encoder()
    users = [WORDS, History((Turn("Guess what, I know the moon."), Turn("Well, no.")))]
    together = encoder.vectors(pocket(), users)
    for user, vector in zip(users, together, strict=True):
        [alone] = encoder.vectors(pocket(), [user])
        one, other = (each.directions[encoder.layer] for each in (vector, alone))
        # In units of the vector: its length is that of hundreds of float32 activations.
        assert torch.linalg.vector_norm(one - other) <= 1e-5 * torch.linalg.vector_norm(other)


def test_a_user_without_messages_is_refused() -> None:
    with pytest.raises(DatasetError, match="no message"):
        pocket_encoder().vectors(pocket(), [WORDS, History()])


def test_another_student_is_refused() -> None:
    with pytest.raises(DatasetError, match="belongs to student"):
        pocket_encoder().vectors(build_student("llama"), [WORDS])


def test_one_message_leaves_a_user_nearer_to_the_population_than_ten_like_it() -> None:
    encoder = pocket_encoder()
    once, often = encoder.vectors(pocket(), [WORDS, History(WORDS.turns * 10)])
    origin = encoder.origin * encoder.norm
    near, far = (float((v.directions[encoder.layer] - origin).norm()) for v in (once, often))
    assert near < 0.9 * far
