"""How many directions some vectors use."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import DatasetError
from selfsteer.steering.users.basis import dictionary_error, effective_rank, user_matrix
from tests.steering.students import build_student, build_vector


@given(st.integers(1, 8))
def test_equal_orthogonal_directions_all_count(rank: int) -> None:
    rows = torch.linalg.qr(torch.randn(20, 20, dtype=torch.float64))[0][:rank]
    assert effective_rank(rows) == pytest.approx(rank)


def test_small_directions_count_for_little() -> None:
    assert 1 < effective_rank(torch.diag(torch.tensor([1.0, 0.1, 0.1]))) < 1.2


def test_users_are_taken_about_their_mean() -> None:
    student = build_student("llama")
    rows = user_matrix([build_vector(student, seed) for seed in range(3)], 1)
    assert torch.allclose(rows.sum(0), torch.zeros(rows.shape[1], dtype=torch.float64), atol=1e-5)


def test_one_user_has_no_basis() -> None:
    with pytest.raises(DatasetError, match="two users"):
        user_matrix([build_vector(build_student("llama"))], 1)


def test_a_dictionary_of_the_right_size_tells_sparse_users() -> None:
    source = torch.Generator().manual_seed(0)
    atoms = torch.linalg.qr(torch.randn(12, 12, generator=source, dtype=torch.float64))[0][:4]
    codes = torch.zeros(60, 4, dtype=torch.float64)
    for row in codes:
        row[torch.randperm(4, generator=source)[:2]] = 1.0
    rows = codes @ atoms
    enough, few = (dictionary_error(rows, size, used=2) for size in (4, 2))
    assert enough < 0.02 < few
