"""More than 10,000 damaged files: each is read or refused with our error, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch

from selfsteer.errors import VectorError
from selfsteer.steering.formats.aisteer360 import decode_aisteer360
from selfsteer.steering.formats.control_vector import decode_control_vector, encode_control_vector
from selfsteer.steering.formats.persona_vectors import decode_persona_vectors
from selfsteer.steering.formats.steering_vectors import decode_steering_vectors
from selfsteer.steering.vectors import SteeringVector
from tests.steering.formats.makers import mutations, repickled, saved, svec, with_twin

BLOCKS = 3
DIRECTIONS = {k: torch.linspace(-1, 1, 4) * (k + 1) for k in (1, 2)}
OBJECT = {"layer_activations": DIRECTIONS, "layer_type": "decoder_block"}
LONGEST_MESSAGE = 600  # characters: what a file holds is quoted in part


def native() -> bytes:
    return SteeringVector(
        directions=DIRECTIONS,
        residual_norms=dict.fromkeys(DIRECTIONS, 1.0),
        method="pca",
        selector="response",
        concept="cheerful",
        dataset_id="d",
        student_fingerprint="f",
        notes={"pairs": 3, "nested": {"a": [1, None]}},
    ).to_bytes()


def pickles(value: object, count: int) -> Iterator[bytes]:
    """Archives that are whole, with a damaged pickle inside."""
    archive = saved(value)
    kept: list[bytes] = []
    repickled(archive, lambda data: kept.append(data) or data)  # type: ignore[func-returns-value]
    for damaged in mutations(kept[0], count):
        yield repickled(archive, lambda _, damaged=damaged: damaged)  # type: ignore[misc]


def refused(read: Callable[[bytes], object], files: Iterable[bytes]) -> int:
    """How many are refused; anything but our error passes through."""
    count = 0
    for data in files:
        try:
            read(data)
        except VectorError as error:
            assert len(str(error)) < LONGEST_MESSAGE
            count += 1
    return count


@pytest.mark.parametrize("seed", range(2))
def test_gguf(seed: int) -> None:
    files = mutations(encode_control_vector(DIRECTIONS, "llama"), 3000, seed)
    assert refused(lambda data: decode_control_vector(data, "f"), files) > 2000


def test_safetensors_with_a_json_header() -> None:
    # An id over the content leaves next to nothing that a change can pass through.
    assert refused(SteeringVector.from_bytes, mutations(native(), 2500)) > 2400


def test_archives_of_steering_vectors() -> None:
    files = mutations(saved(OBJECT), 1000)
    assert refused(lambda data: decode_steering_vectors(data, "f", BLOCKS), files) > 500


def test_pickles_of_steering_vectors() -> None:
    files = pickles(OBJECT, 1000)
    assert refused(lambda data: decode_steering_vectors(data, "f", BLOCKS), files) > 500


def test_archives_with_a_second_pickle() -> None:
    rng = random.Random(0)
    letters = [(c, c.upper()) for c in "data.pkl"]
    names = {"".join(rng.choice(pair) for pair in letters) for _ in range(200)} - {"data.pkl"}
    files = [with_twin(saved(OBJECT), name, b"\x80\x02}.") for name in names]
    assert refused(lambda data: decode_steering_vectors(data, "f", BLOCKS), files) == len(files)


def test_archives_and_pickles_of_persona_vectors() -> None:
    rows = torch.ones(BLOCKS + 1, 4)
    files = [*mutations(saved(rows), 500), *pickles(rows, 500)]
    assert refused(lambda data: decode_persona_vectors(data, "f", BLOCKS), files) > 500


def test_svec() -> None:
    # A digit that is changed gives another number: less is refused than elsewhere.
    rows = {layer: value[None] for layer, value in DIRECTIONS.items()}
    files = mutations(svec(rows, explained_variances={"1": 0.5}), 2000)
    assert refused(lambda data: decode_aisteer360(data, "f"), files) > 1000
