"""Lanes: several threads read batches of their own, and what comes out is what one would read."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from selfsteer.steering.capture import capture, capture_moments, capture_tokens
from selfsteer.steering.encoding import encode
from selfsteer.steering.lanes import PIECES, in_lanes
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.steering.families import FAMILIES, altered_student
from tests.steering.students import build_student, hook_count

THREADS = 3
EXAMPLES = [
    Example(prompt=Prompt.raw("abc"[i % 3] * (1 + i % 7)), completion="xyz"[i % 3] * (2 + i % 11))
    for i in range(4 * THREADS * PIECES)
]
BUDGET = 40  # tokens of a batch: enough batches for every lane


@pytest.fixture
def llama() -> Student:
    """One that no other test has left hooks of transformers on."""
    return build_student("llama")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def lanes_used(student: Student, pieces: int = THREADS * PIECES) -> int:
    """How many students worked: they take turns."""
    used = set()
    in_lanes(student, range(pieces), lambda lane, _: used.add(lane))
    return len(used)


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal but for rounding, which goes with the largest of the values."""
    torch.testing.assert_close(found, expected, atol=2e-6 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_lanes_read_is_what_one_thread_reads(family: str, threads: None) -> None:
    student = altered_student(family)
    layers = (-1, 0, student.n_layers - 1)
    assert lanes_used(student) == THREADS
    found = capture(student, EXAMPLES, layers, "all", token_budget=BUDGET)
    every = capture_tokens(student, EXAMPLES, layers, "all", token_budget=BUDGET)
    moments = capture_moments(student, EXAMPLES, layers, "all", token_budget=BUDGET)
    torch.set_num_threads(1)
    assert lanes_used(student) == 1
    expected = capture(student, EXAMPLES, layers, "all", token_budget=BUDGET)
    assert_same(found.values, expected.values)
    assert_same(found.norms, expected.norms)
    alone = capture_tokens(student, EXAMPLES, layers, "all", token_budget=BUDGET)
    for one, other in zip(every, alone, strict=True):
        assert_same(one, other)
    assert_same(moments.mean, torch.cat(alone, dim=1).double().mean(1).float())


def test_rotary_factors_of_one_lane_do_not_reach_another(threads: None) -> None:
    """This kind writes the factors for the length at hand into its module."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0, 6.0, 8.0, 16.0],
        "original_max_position_embeddings": 8,
        "factor": 8.0,
    }
    student = altered_student("phi3", rope_parameters=rope, original_max_position_embeddings=8)
    assert {student.rotation(len(encode(student, row).ids)) for row in EXAMPLES} == {0, -1}
    found = capture(student, EXAMPLES, None, "all", token_budget=BUDGET)
    torch.set_num_threads(1)
    assert_same(found.values, capture(student, EXAMPLES, None, "all", token_budget=BUDGET).values)


def test_runs_give_the_same_bits(llama: Student, threads: None) -> None:
    runs = [capture_moments(llama, EXAMPLES, token_budget=BUDGET).mean for _ in range(5)]
    assert all(torch.equal(run, runs[0]) for run in runs)


def test_results_come_in_order(llama: Student, threads: None) -> None:
    taken = []
    slow = threading.Event()

    def work(_: Student, piece: int) -> int:
        if piece == 0:
            slow.wait(timeout=5)
        if piece == 5:
            slow.set()
        return piece * piece

    in_lanes(llama, range(20), work, lambda *both: taken.append(both))
    assert taken == [(n, n * n) for n in range(20)]


def test_each_lane_has_modules_of_its_own_on_the_same_weights(
    llama: Student, threads: None
) -> None:
    students = set()
    in_lanes(llama, range(50), lambda lane, _: students.add(lane))
    assert llama in students
    embeddings = {id(lane.embedding) for lane in students}
    weights = {lane.embedding.weight.data_ptr() for lane in students}
    assert len(embeddings) == len(students)
    assert len(weights) == 1
    for lane in students:
        assert list(lane.layers) == [m for m in lane.model.modules() if m in set(lane.layers)]


@pytest.mark.parametrize("pieces", [0, 1, 2 * PIECES - 1])
def test_little_work_stays_in_the_calling_thread(
    llama: Student, pieces: int, threads: None
) -> None:
    used = set()
    in_lanes(llama, range(pieces), lambda *_: used.add(threading.current_thread()))
    assert used <= {threading.current_thread()}


def test_lanes_share_the_threads_evenly(llama: Student, threads: None) -> None:
    torch.set_num_threads(4)
    seen = []
    in_lanes(llama, range(2 * PIECES), lambda *_: seen.append(torch.get_num_threads()))
    assert set(seen) == {2}
    assert torch.get_num_threads() == 4
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [4]


@pytest.mark.parametrize("where", ["do", "take"])
def test_an_error_ends_the_work(llama: Student, where: str, threads: None) -> None:
    done = []

    def fail(*given: object) -> None:
        raise ValueError(where)

    def work(_: Student, piece: int) -> None:
        done.append(piece)
        if where == "do" and piece == 3:
            fail()

    with pytest.raises(ValueError, match=where):
        in_lanes(llama, range(10_000), work, fail if where == "take" else lambda *_: None)
    assert len(done) < 10_000
    assert torch.get_num_threads() == THREADS
    assert hook_count(llama) == 0


def test_a_model_that_somebody_has_hooks_on_is_not_copied(threads: None) -> None:
    student = build_student("llama")
    handle = student.layers[0].register_forward_hook(lambda *_: None)
    assert lanes_used(student) == 1
    handle.remove()
    assert lanes_used(student) == THREADS
    student.model.forward = student.model.forward
    assert lanes_used(student) == 1


def test_a_model_that_cannot_be_copied_is_read_in_one_lane(threads: None) -> None:
    student = build_student("llama")
    student.model.lock = threading.Lock()
    assert lanes_used(student) == 1
