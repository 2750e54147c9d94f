"""Vectors composed by an expression.

    sum     := product (("+" | "-") product)*
    product := factor ("*" factor)*                      of which at most one is a vector
    factor  := "-" factor | number | id | "(" sum ")" | call
    call    := "orth(" vector ";" vector ("," vector)* ")"     outside the span of the others
             | "lerp(" vector "," vector ";" t ")"             the straight way between the two
             | "slerp(" vector "," vector ";" t ")"            the arc
             | "mutate(" vector ";" share "," seed ")"         noise in all dimensions
             | "cross(" vector "," vector ";" layer ("," layer)* ")"   these layers of the second

An id is the 16 hex digits of a vector. White space is free. A sum is one step of descent, however
many terms and brackets it has: `2 * (A + B) - A` has the parents A and B.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from selfsteer.errors import ExpressionError
from selfsteer.steering.breeding import crossover, interpolate, mutate, orthogonalise, weighted_sum
from selfsteer.steering.vectors import SteeringVector

_TOKEN = re.compile(
    r"\s*(?:(?P<id>[0-9a-f]{16})(?![\w.])"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w.])"
    r"|(?P<name>[A-Za-z]+)(?![\w.])|(?P<sign>[-+*(),;])|(?P<end>\Z))"
)
_DEEPEST = 50  # brackets within brackets, well within what Python's stack holds
_SHOWN = 20  # characters of what cannot be read

Terms = list[tuple[float, SteeringVector]]
Value = float | Terms
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Composition:
    """What an expression gives.

    Attributes:
        vector: its value.
        steps: the vectors that were made on the way, each after its parents. The value comes last,
            unless it is a vector that was there.
    """

    vector: SteeringVector
    steps: tuple[SteeringVector, ...]


def compose(
    text: str, fetch: Callable[[str], SteeringVector], *, strengths: bool = False
) -> Composition:
    """Read an expression and compute its vector.

    Args:
        text: the expression; the grammar is that of this module.
        fetch: gives the vector with an id.
        strengths: whether the weights of sums are strengths, as in
            :func:`selfsteer.steering.breeding.weighted_sum`.

    Raises:
        ExpressionError: the text is no such expression, or its value is a number or zero.
        VectorError: the vectors do not match, or an operation refuses them.
    """
    reader = _Reader(text, fetch, strengths)
    value = reader.sum()
    reader.expect("")
    vector = reader.vector(value)
    if not any(direction.any() for direction in vector.directions.values()):
        raise ExpressionError("The expression gives zero at every layer; it steers nowhere.")
    return Composition(vector, tuple(reader.steps))


class _Reader:
    """Reads and computes from left to right, one method for each rule of the grammar."""

    def __init__(self, text: str, fetch: Callable[[str], SteeringVector], strengths: bool) -> None:
        self._tokens = _tokens(text)
        self._fetch = fetch
        self._strengths = strengths
        self._depth = 0
        self.steps: list[SteeringVector] = []

    def sum(self) -> Value:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError(f"Brackets stand more than {_DEEPEST} deep; compose in steps.")
        total = self._product()
        while self._tokens[0][1] in ("+", "-"):
            factor = 1.0 if self._take() == "+" else -1.0
            total = _add(total, _multiply(factor, self._product()))
        self._depth -= 1
        return total

    def expect(self, sign: str) -> None:
        if (found := self._take()) != sign:
            missing = f"{sign!r}" if sign else "the end, or one of + - *"
            raise ExpressionError(f"The expression has {_told(found)} where {missing} should be.")

    def vector(self, value: Value) -> SteeringVector:
        """The vector that a value stands for; a sum is computed only now."""
        if isinstance(value, float):
            raise ExpressionError(f"The number {value:g} stands where a vector should be.")
        if len(value) == 1 and value[0][0] == 1:
            return value[0][1]
        return self._made(weighted_sum(value, strengths=self._strengths))

    def _product(self) -> Value:
        value = self._factor()
        while self._tokens[0][1] == "*":
            self._take()
            value = _multiply(value, self._factor())
        return value

    def _factor(self) -> Value:
        sign = 1.0
        while self._tokens[0][1] == "-":
            self._take()
            sign = -sign
        return _multiply(sign, self._atom())

    def _atom(self) -> Value:
        kind, word = self._tokens[0]
        self._take()
        if kind == "number":
            if not math.isfinite(number := float(word)):
                raise ExpressionError(f"The number {word} is too large.")
            return number
        if kind == "id":
            return [(1.0, self._fetch(word))]
        if word == "(":
            value = self.sum()
            self.expect(")")
            return value
        if kind == "name":
            return [(1.0, self._made(self._call(word)))]
        raise ExpressionError(
            f"The expression has {_told(word)} where a vector or a number should be."
        )

    def _call(self, name: str) -> SteeringVector:
        if name not in _FORMS:
            raise ExpressionError(f"There is no function {name}; there are {', '.join(_FORMS)}.")
        self.expect("(")
        groups: list[list[Value]] = [[self.sum()]]
        while (sign := self._take()) in (",", ";"):
            if sign == ";":
                groups.append([])
            groups[-1].append(self.sum())
        if sign != ")":
            raise ExpressionError(f"The expression has {_told(sign)} where ')' should be.")
        if len(groups) != 2:
            raise _misused(name)
        return self._apply(name, *groups)

    def _apply(self, name: str, of: Sequence[Value], by: Sequence[Value]) -> SteeringVector:
        vectors = [self.vector(value) for value in of]
        if name == "orth":
            (vector,) = _counted(name, vectors, 1)
            return orthogonalise(vector, [self.vector(value) for value in by])
        numbers = [_number(name, value) for value in by]
        if name == "mutate":
            (vector,) = _counted(name, vectors, 1)
            share, seed = _counted(name, numbers, 2)
            return mutate(vector, share, _whole(name, seed))
        first, second = _counted(name, vectors, 2)
        if name == "cross":
            return crossover(first, second, [_whole(name, layer) for layer in numbers])
        (t,) = _counted(name, numbers, 1)
        return interpolate(first, second, t) if name == "lerp" else first.slerp(second, t)

    def _take(self) -> str:
        kind, word = self._tokens[0]
        if kind != "end":
            self._tokens.popleft()
        return word

    def _made(self, vector: SteeringVector) -> SteeringVector:
        self.steps.append(vector)
        return vector


_FORMS = {
    "orth": "orth(vector; vector, ...)",
    "lerp": "lerp(vector, vector; t)",
    "slerp": "slerp(vector, vector; t)",
    "mutate": "mutate(vector; share, seed)",
    "cross": "cross(vector, vector; layer, ...)",
}


def _tokens(text: str) -> deque[tuple[str, str]]:
    """Kinds and words; the last one is the end, with an empty word."""
    tokens: deque[tuple[str, str]] = deque()
    at = 0
    while not tokens or tokens[-1][0] != "end":
        if not (match := _TOKEN.match(text, at)):
            rest = text[at:].strip()[:_SHOWN]
            raise ExpressionError(
                f"The expression cannot be read from {rest!r} on; it holds ids of vectors (16 hex "
                f"digits), numbers, + - * ( ) and {', '.join(_FORMS.values())}."
            )
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind]))
        at = match.end()
    return tokens


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        return left + right
    if isinstance(left, float) or isinstance(right, float):
        raise ExpressionError("A number cannot be added to a vector; multiply it with one.")
    return left + right


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        return left * right
    if isinstance(left, float) and not isinstance(right, float):
        return [(left * weight, vector) for weight, vector in right]
    if isinstance(right, float) and not isinstance(left, float):
        return [(right * weight, vector) for weight, vector in left]
    raise ExpressionError("Two vectors cannot be multiplied; one of the factors must be a number.")


def _number(name: str, value: Value) -> float:
    if not isinstance(value, float):
        raise _misused(name)
    return value


def _whole(name: str, number: float) -> int:
    if not number.is_integer():
        raise ExpressionError(f"{number:g} in {_FORMS[name]} should be a whole number.")
    return int(number)


def _counted(name: str, values: Sequence[_Item], count: int) -> Sequence[_Item]:
    if len(values) != count:
        raise _misused(name)
    return values


def _misused(name: str) -> ExpressionError:
    return ExpressionError(f"{name} is written {_FORMS[name]}.")


def _told(word: str) -> str:
    return repr(word) if word else "its end"
