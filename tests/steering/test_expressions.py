"""Expressions over vectors: what they mean, what descends from what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import ExpressionError, SelfsteerError
from selfsteer.steering.breeding import crossover, interpolate, mutate, orthogonalise, weighted_sum
from selfsteer.steering.expressions import compose
from selfsteer.steering.vectors import SteeringVector
from tests.steering.test_vectors import make

A, B, C = (make(seed) for seed in range(3))
LIBRARY = {vector.id: vector for vector in (A, B, C)}
NAMES = {"A": A.id, "B": B.id, "C": C.id}
numbers = st.floats(-100, 100).filter(lambda number: abs(number) > 1e-3)


def spelled(text: str) -> str:
    """The expression with ids where it has the letters A, B and C."""
    return "".join(NAMES.get(character, character) for character in text)


def value(text: str, **options: bool) -> SteeringVector:
    return compose(spelled(text), LIBRARY.__getitem__, **options).vector


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("0.7*A + 0.3*B", [(0.7, A), (0.3, B)]),
        ("A-B", [(1, A), (-1, B)]),
        ("-A", [(-1, A)]),
        ("--2*A", [(2, A)]),
        ("2 * (A + B) - A", [(1, A), (2, B)]),
        ("A * .5 * 4 - 1e-1 * B", [(2, A), (-0.1, B)]),
        ("(1 + 2) * A", [(3, A)]),
        ("A - (B - C)", [(1, A), (-1, B), (1, C)]),
    ],
)
def test_sums(text: str, terms: list[tuple[float, SteeringVector]]) -> None:
    assert value(text) == weighted_sum(terms)
    assert value(text, strengths=True) == weighted_sum(terms, strengths=True)


@pytest.mark.parametrize(
    ("text", "make_wanted"),
    [
        ("A", lambda: A),
        ("1 * A", lambda: A),
        ("orth(A; B, C)", lambda: orthogonalise(A, [B, C])),
        ("lerp(A, B; 0.25)", lambda: interpolate(A, B, 0.25)),
        ("slerp(A, B; 0.25)", lambda: A.slerp(B, 0.25)),
        ("mutate(A; 0.1, 7)", lambda: mutate(A, 0.1, 7)),
        ("cross(A, B; -1, 3)", lambda: crossover(A, B, [-1, 3])),
        ("orth(A - B; 2*C)", lambda: orthogonalise(
            weighted_sum([(1, A), (-1, B)]), [weighted_sum([(2, C)])])),
    ],
)  # fmt: skip
def test_functions(text: str, make_wanted: Callable[[], SteeringVector]) -> None:
    assert value(text) == make_wanted()
    assert value(text.replace(" ", "").replace(";", " ;\n")) == make_wanted()


@given(numbers, numbers)
def test_weights_of_any_size_and_spelling(x: float, y: float) -> None:
    assert value(f"{x!r} * A + {y!r} * B") == weighted_sum([(x, A), (y, B)])


def test_every_step_is_told_after_its_parents() -> None:
    made = compose(spelled("orth(A - B; C) + mutate(A; 0.1, 0)"), LIBRARY.__getitem__)
    known = set(LIBRARY)
    for step in made.steps:
        assert set(step.parents) <= known
        known.add(step.id)
    assert made.steps[-1] == made.vector
    assert [step.method for step in made.steps] == [
        "weighted_sum",
        "orthogonalise",
        "mutate",
        "weighted_sum",
    ]
    assert compose(A.id, LIBRARY.__getitem__).steps == ()


def test_an_id_of_digits_alone_is_an_id() -> None:
    assert compose("0.5*1234567890123456", lambda _: A).vector == weighted_sum([(0.5, A)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its end where a vector or a number"),
        ("A +", "its end where a vector or a number"),
        ("A B", "where the end, or one of"),
        ("(A", r"its end where '\)'"),
        ("A)", r"'\)' where the end"),
        ("A * B", "cannot be multiplied"),
        ("A + 1", "cannot be added"),
        ("1 + 2", "number 3 stands where a vector"),
        ("A - A", "zero at every layer"),
        ("orth(A; A)", "zero at every layer"),
        ("1e999 * A", "too large"),
        ("1e300 * 1e300 * A", "must be finite"),
        ("A / 2", "cannot be read from '/ 2'"),
        ("0123abc", "cannot be read from '0123abc'"),
        ("__import__(A)", "cannot be read"),
        ("٣ * A", "cannot be read"),
        ("sin(A; 1)", "no function sin"),
        ("orth", r"its end where '\('"),
        ("orth(A)", r"orth is written orth\(vector; vector, \.\.\.\)"),
        ("orth(A, B; C)", "orth is written"),
        ("orth(A; 1)", "number 1 stands where a vector"),
        ("orth(A; B; C)", "orth is written"),
        ("orth(A; B *", "its end where a vector or a number"),
        ("lerp(A, B; C)", "lerp is written"),
        ("slerp(A; 0.5)", "slerp is written"),
        ("slerp(A, B; 2)", "between 0 and 1"),
        ("mutate(A; 0.1)", "mutate is written"),
        ("mutate(A; 0.1, 0.5)", "whole number"),
        ("cross(A, B; 0.5)", "whole number"),
        ("cross(A, B; 17)", "some of the layers"),
        ("(" * 1000 + "A" + ")" * 1000, "more than 50 deep"),
        ("orth(" * 1000, "more than 50 deep"),
    ],
)
def test_what_is_no_vector_is_refused(text: str, message: str) -> None:
    with pytest.raises(SelfsteerError, match=message):
        value(text)


def test_long_sums_need_no_depth() -> None:
    total = value("A" + " + B - B" * 5000)
    torch.testing.assert_close(total.directions[0], A.directions[0])
    assert value("-" * 5000 + "A") == A


@given(st.text(alphabet="AB0.5 e+-*(),;orthlpx\n", max_size=30))
def test_any_text_is_a_vector_or_refused(text: str) -> None:
    try:
        assert isinstance(value(text), SteeringVector)
    except ExpressionError as error:
        assert str(error).endswith(".")
    except SelfsteerError:
        pass
