"""Activations of many texts: means, single tokens, or moments, at any layers.

Rows are read in batches of similar length, what several begin with in common once
(:mod:`selfsteer.steering.forwards`), and no further than the deepest layer that is asked for
(:mod:`selfsteer.steering.reading`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfsteer.errors import SelectorError
from selfsteer.steering.batching import reading_budget
from selfsteer.steering.encoding import Item
from selfsteer.steering.forwards import Forward, Reading, readings
from selfsteer.steering.lanes import in_lanes
from selfsteer.steering.model import Student
from selfsteer.steering.reading import read_layers
from selfsteer.steering.selectors import Mask, Selector, parse
from selfsteer.steering.wanted import layers_of, only_last, texts_of

Reduce = Literal["mean", "last"]
# From a layer's output [B, T, D]: numbers of rows [R], a value [R, D] for each, and its norm [R].
_Reduced = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class ReadAs:
    """Which tokens of a text were read, and what became of them.

    Attributes:
        selector: as it was given.
        reduce: how the tokens of a text became one value; None where every token counts.
    """

    selector: str
    reduce: Reduce | None


@dataclass(frozen=True)
class Activations:
    """One value per layer and text.

    Attributes:
        layers: layer numbers, in the order asked for.
        values: [L, N, D] float32, on the student's device.
        norms: [L, N] float32, mean Euclidean norm of each text's selected tokens.
        read: what was read; None where it is not known.
    """

    layers: tuple[int, ...]
    values: Tensor
    norms: Tensor
    read: ReadAs | None = None


@dataclass(frozen=True)
class Moments:
    """Running moments over all selected tokens of all texts, or over one value of each text.

    Attributes:
        layers: layer numbers, in the order asked for.
        n: number of tokens, or of texts.
        mean: [L, D] float32.
        second: [L, D, D] float32, the uncentred second moment E[x x^T]; None unless asked for.
        norm: [L] float32, mean Euclidean norm.
        read: what was read; None where it is not known.
    """

    layers: tuple[int, ...]
    n: int
    mean: Tensor
    second: Tensor | None
    norm: Tensor
    read: ReadAs | None = None


def capture(
    student: Student,
    examples: Sequence[Item],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "response",
    reduce: Reduce = "mean",
    token_budget: int | None = None,
) -> Activations:
    """One activation per layer and text: the mean over the selected tokens, or the last of them.

    Args:
        layers: layer numbers, -1 for the embedding output; None for all blocks.
        token_budget: tokens per forward, pads included; None for what suits the device.

    Raises:
        SelectorError: when a text has no selected token (a bare prompt has no response), or
            `reduce` is unknown.
        StudentError: when a layer does not exist, or a text is longer than the student's context.
    """
    check_reduce(reduce)
    work = _Work.of(student, examples, layers, selector, reduce, token_budget)
    shape = (len(work.layers), len(work.rows))
    values = torch.empty(*shape, student.d_model, device=student.device)
    norms = torch.empty(*shape, device=student.device)

    def take(reading: Reading, found: tuple[Tensor, Tensor]) -> None:
        index = torch.from_numpy(reading.rows).to(student.device)
        values[:, index], norms[:, index] = found

    in_lanes(student, work.readings(), work.of_texts, take)
    return Activations(work.layers, values, norms, ReadAs(str(selector), reduce))


def check_reduce(reduce: Reduce | None, *, tokens: bool = False) -> None:
    """Refuse what no text can be reduced by; None is for `tokens` that count by themselves.

    Raises:
        SelectorError: it is unknown.
    """
    if reduce not in get_args(Reduce) and not (tokens and reduce is None):
        raise SelectorError(f"Unknown reduce {reduce!r}; it is mean or last.")


def capture_tokens(
    student: Student,
    examples: Sequence[Item],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "all",
    token_budget: int | None = None,
) -> list[Tensor]:
    """Every selected token's activation: for each text a float32 tensor [L, T_i, D].

    Raises:
        SelectorError: when a text has no selected token.
        StudentError: when a layer does not exist, or a text is longer than the student's context.
    """
    work = _Work.of(student, examples, layers, selector, None, token_budget)
    shape, device = (len(work.layers), student.d_model), student.device
    out = [torch.empty(shape[0], int(m.sum()), shape[1], device=device) for m in work.masks]
    done = np.zeros(len(work.rows), dtype=np.int64)

    def read(lane: Student, reading: Reading) -> None:
        for forward in reading.forwards:
            where = [
                (i, int(line), torch.from_numpy(np.flatnonzero(chosen)).to(device))
                for i, line, chosen in zip(reading.rows, forward.lines, forward.chosen, strict=True)
            ]

            def keep(place: int, hidden: Tensor, where: Any = where) -> None:
                for i, line, positions in where:
                    start = done[i]
                    out[i][place, start : start + len(positions)] = hidden[line, positions]

            read_layers(lane, forward, work.layers, keep)
            done[reading.rows] += forward.chosen.sum(1)

    in_lanes(student, work.readings(), read)
    return out


def capture_moments(
    student: Student,
    examples: Sequence[Item],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "all",
    second: bool = False,
    token_budget: int | None = None,
) -> Moments:
    """Moments over all selected tokens, in memory that does not grow with the texts.

    Sums are kept in float64, so that many tokens lose no digits.

    Args:
        second: also gather E[x x^T], which takes d_model squared values a layer.

    Raises:
        SelectorError: when a text has no selected token.
        StudentError: when a layer does not exist, or a text is longer than the student's context.
    """
    (moments,) = capture_group_moments(
        student, [examples], layers, selector, second=second, token_budget=token_budget
    )
    return moments


def capture_group_moments(
    student: Student,
    groups: Sequence[Sequence[Item]],
    layers: Sequence[int] | None = None,
    selector: str | Selector = "all",
    *,
    reduce: Reduce | None = None,
    second: bool = False,
    token_budget: int | None = None,
) -> list[Moments]:
    """Moments of each of several groups of texts, which are read together.

    Args:
        reduce: every text counts once, by the mean of its selected tokens or the last of them;
            None: every selected token counts once.
        second: also gather E[x x^T], which takes d_model squared values a layer.

    Raises:
        SelectorError: when a text has no selected token, or `reduce` is unknown.
        StudentError: when a layer does not exist, or a text is longer than the student's context.
    """
    check_reduce(reduce, tokens=True)
    flat = [item for group in groups for item in group]
    work = _Work.of(student, flat, layers, selector, reduce, token_budget)
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    sums = [_Sums.zeros(student, len(work.layers), second) for _ in groups]
    (_add_tokens if reduce is None else _add_texts)(work, owner, sums)
    counts = work.counts if reduce is None else np.ones(len(work.rows))
    read = ReadAs(str(selector), reduce)
    return [
        total.moments(work.layers, int(counts[owner == number].sum()), read)
        for number, total in enumerate(sums)
    ]


def _add_texts(work: _Work, owner: NDArray[np.int64], sums: Sequence[_Sums]) -> None:
    """Add one value of every text to the sums of the group that owns it."""

    def add(reading: Reading, found: tuple[Tensor, Tensor]) -> None:
        values, norms = found
        for number, total in enumerate(sums):
            mine = torch.from_numpy(owner[reading.rows] == number).to(values.device)
            for place in range(len(work.layers)):
                total.add(place, values[place, mine], norms[place, mine])

    in_lanes(work.student, work.readings(), work.of_texts, add)


def _add_tokens(work: _Work, owner: NDArray[np.int64], sums: Sequence[_Sums]) -> None:
    """Add every selected token to the sums of the group that owns its text."""
    if sums and sums[0].square is not None:
        # Lanes would need second moments of their own, as much memory again for each.
        for reading in work.readings():
            work.add_tokens(work.student, reading, owner[reading.rows], sums)
        return

    def of_tokens(lane: Student, reading: Reading) -> list[_Sums]:
        own = [_Sums.zeros(work.student, len(work.layers), second=False) for _ in sums]
        work.add_tokens(lane, reading, owner[reading.rows], own)
        return own

    def add(_: Reading, found: list[_Sums]) -> None:
        for total, more in zip(sums, found, strict=True):
            total.total.add_(more.total)
            total.norm.add_(more.norm)

    in_lanes(work.student, work.readings(), of_tokens, add)


@dataclass(frozen=True)
class _Sums:
    """Running sums of one group, in float64: [L, D], [L, D, D] or None, [L]."""

    total: Tensor
    square: Tensor | None
    norm: Tensor

    @classmethod
    def zeros(cls, student: Student, layers: int, second: bool) -> _Sums:
        wide: dict[str, Any] = {"dtype": torch.float64, "device": student.device}
        total = torch.zeros(layers, student.d_model, **wide)
        square = torch.zeros(*total.shape, student.d_model, **wide) if second else None
        return cls(total, square, torch.zeros(layers, **wide))

    def add(self, place: int, values: Tensor, norms: Tensor) -> None:
        """Add values [n, D] float32 and their norms [n] at a layer's place."""
        self.total[place] += values.sum(0, dtype=torch.float64)
        self.norm[place] += norms.sum(dtype=torch.float64)
        if self.square is not None:
            self.square[place] += values.T @ values

    def moments(self, layers: tuple[int, ...], n: int, read: ReadAs) -> Moments:
        square = None if self.square is None else (self.square / n).float()
        mean, norm = (self.total / n).float(), (self.norm / n).float()
        return Moments(layers, n, mean, square, norm, read)


@dataclass(frozen=True)
class _Work:
    """What is to be read: token ids of each text, the selected ones of these, and the layers."""

    student: Student
    rows: Sequence[Sequence[int]]
    masks: Sequence[Mask]
    layers: tuple[int, ...]
    reduce: Reduce | None
    token_budget: int

    @classmethod
    def of(
        cls,
        student: Student,
        examples: Sequence[Item],
        layers: Sequence[int] | None,
        selector: str | Selector,
        reduce: Reduce | None,
        token_budget: int | None,
    ) -> _Work:
        rows, masks = texts_of(student, examples, parse(selector))
        if reduce == "last":
            masks = [only_last(mask) for mask in masks]
        budget = token_budget or reading_budget(student.device)
        return cls(student, rows, masks, layers_of(student, layers), reduce, budget)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Selected tokens of each row."""
        return np.array([mask.sum() for mask in self.masks], dtype=np.int64)

    def readings(self) -> list[Reading]:
        return list(readings(self.student, self.rows, self.masks, self.token_budget))

    def of_texts(self, lane: Student, reading: Reading) -> tuple[Tensor, Tensor]:
        """[L, R, D] the value of each row, and [L, R] the mean norm of its tokens.

        Args:
            lane: the student that reads.
        """
        shape, device = (len(self.layers), len(reading.rows)), self.student.device
        values = torch.zeros(*shape, self.student.d_model, device=device)
        norms = torch.zeros(*shape, device=device)
        counts = np.array([self.masks[i].sum() for i in reading.rows], dtype=np.float32)
        for forward in reading.forwards:
            reduced = _picked(forward) if self.reduce == "last" else _mean(forward, counts)

            def keep(place: int, hidden: Tensor, reduced: _Reduced = reduced) -> None:
                rows, value, norm = reduced(hidden)
                values[place, rows] += value
                norms[place, rows] += norm

            read_layers(lane, forward, self.layers, keep)
        return values, norms

    def add_tokens(
        self, lane: Student, reading: Reading, of: NDArray[np.int64], sums: Sequence[_Sums]
    ) -> None:
        """Add every selected token to the sums of its row's group."""
        for forward in reading.forwards:
            lines = torch.from_numpy(forward.lines).to(self.student.device)
            chosen = [
                torch.from_numpy(forward.chosen & (of == number)[:, None]).to(self.student.device)
                for number in range(len(sums))
            ]

            def keep(
                place: int, hidden: Tensor, lines: Tensor = lines, chosen: Any = chosen
            ) -> None:
                for total, mine in zip(sums, chosen, strict=True):
                    row, position = mine.nonzero(as_tuple=True)
                    tokens = hidden[lines[row], position].float()
                    total.add(place, tokens, tokens.norm(dim=-1))

            read_layers(lane, forward, self.layers, keep)


def _mean(forward: Forward, counts: NDArray[np.float32]) -> _Reduced:
    """What these tokens add to the means of their rows."""
    device = forward.ids.device
    rows = np.flatnonzero(forward.chosen.any(1))
    share = torch.from_numpy(forward.chosen[rows] / counts[rows, None]).to(device)
    lines = torch.from_numpy(forward.lines[rows]).to(device)
    index = torch.from_numpy(rows).to(device)
    whole = np.array_equal(forward.lines[rows], np.arange(len(forward.ids)))

    def reduced(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = hidden.float() if whole else hidden[lines].float()
        norms = (share * hidden.norm(dim=-1)).sum(-1)
        return index, torch.einsum("bt,btd->bd", share, hidden), norms

    return reduced


def _picked(forward: Forward) -> _Reduced:
    """The single token of each row that has it among these."""
    device = forward.ids.device
    rows, positions = np.nonzero(forward.chosen)
    lines = torch.from_numpy(forward.lines[rows]).to(device)
    index, places = (torch.from_numpy(numbers).to(device) for numbers in (rows, positions))

    def reduced(hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        picked = hidden[lines, places].float()
        return index, picked, picked.norm(dim=-1)

    return reduced
