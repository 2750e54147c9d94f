"""How likely the student finds given replies: log-probabilities in nats."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfsteer.errors import DatasetError, StudentError
from selfsteer.steering import forward
from selfsteer.steering.batching import Batch, buckets, pad, reading_budget
from selfsteer.steering.cache import decoding_cache
from selfsteer.steering.editing.hooks import Steering, steering
from selfsteer.steering.editing.idle import warn_of_idle_edits
from selfsteer.steering.editing.said import Index, Said
from selfsteer.steering.encoding import Encoded, encode, encode_all
from selfsteer.steering.forwards import Forward, readings
from selfsteer.steering.model import Student
from selfsteer.steering.overflow import out_of_range
from selfsteer.steering.plan import Plan, one_per_row
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.thinning import thinned


def completion_logprobs(
    student: Student,
    examples: Sequence[Example | Encoded],
    plans: Plan | Sequence[Plan] | None = None,
    *,
    close: bool = False,
    token_budget: int | None = None,
) -> list[Tensor]:
    """Log-probability of every completion token given what stands before it.

    Args:
        examples: prompts with completions, or rows that are encoded already.
        close: also score what ends a reply (see `encode`); encoded rows stay as they are.
        token_budget: tokens per forward, pads included; None for what suits the device.

    Returns:
        For each example a float32 tensor [T_i] on the CPU.

    Raises:
        DatasetError: an example without a completion.
        PlanError, SelectorError, VectorError: as `generate` does.
        StudentError: an example that is longer than the student's context, logits that are not
            finite without any edit.

    Warns:
        SteeringWarning: as `generate` does.
    """
    rows = encode_all(student, examples, close=close)
    if silent := [i for i, row in enumerate(rows) if len(row.ids) == row.prompt_length]:
        raise DatasetError(f"Example {silent[0]} has no completion to score; give it one.")
    _check_room(student, [len(row.ids) for row in rows], "Example {} has {} tokens")
    planned = one_per_row(plans, len(rows))
    budget = token_budget or reading_budget(student.device)
    with torch.inference_mode(), steering(student, planned, rows) as edits:
        warn_of_idle_edits(edits)
        if any(plan.active for plan in planned):
            out = _steered(student, rows, edits, budget)
        else:
            out = _unsteered(student, rows, budget)
    _check_sound(student, [bool(values.isnan().any()) for values in out], planned)
    return out


def _steered(
    student: Student, rows: Sequence[Encoded], edits: Steering, token_budget: int
) -> list[Tensor]:
    """[T_i] for each row, under its plan."""
    out: list[Tensor] = [torch.empty(0)] * len(rows)
    scored = [len(row.ids) - row.prompt_length for row in rows]
    for chosen in _batches(student, rows, [0] * len(rows), token_budget):
        batch = pad([rows[i].ids for i in chosen], student.pad_id, "left", student.device)
        edits.select(np.array(chosen))
        edits.on_rows("left", batch.ids.shape[1])
        # Rows end together, so the completions are within the last tokens of the batch.
        keep = max(scored[i] for i in chosen) + 1
        logits = forward.logits(student, batch.ids, batch.mask, batch.positions, keep=keep)
        found = _of_tokens(logits[:, :-1], batch.ids[:, 1 - keep :]).cpu()
        for row, i in zip(found, chosen, strict=True):
            out[i] = row[len(row) - scored[i] :].clone()
    return out


def _unsteered(student: Student, rows: Sequence[Encoded], token_budget: int) -> list[Tensor]:
    """[T_i] for each row; what several rows begin with, mostly their prompt, is read once."""
    # What stands at one token tells the next one.
    before = [np.arange(1, len(row.ids) + 1) >= row.prompt_length for row in rows]
    for mask in before:
        mask[-1] = False
    out = [torch.empty(len(row.ids) - row.prompt_length) for row in rows]
    done = np.zeros(len(rows), dtype=np.int64)
    for reading in readings(student, [row.ids for row in rows], before, token_budget):
        for part in reading.forwards:
            following = [rows[n].ids[rows[n].prompt_length + done[n] :] for n in reading.rows]
            found = _of_part(student, part, following)
            for n, values in zip(reading.rows, found, strict=True):
                out[n][done[n] : done[n] + len(values)] = values
                done[n] += len(values)
    return out


def _of_part(student: Student, part: Forward, following: Sequence[Sequence[int]]) -> list[Tensor]:
    """For each row of a forward, the log-probabilities of the tokens behind its selected ones.

    Args:
        following: what each row still has to be scored, from the first of these tokens on.
    """
    row, column = np.nonzero(part.chosen)
    counts = part.chosen.sum(1)
    width = part.ids.shape[1]
    keep = width - int(column.min(initial=width - 1))
    with thinned(student, student.n_layers - 1, part.needed):
        logits = forward.logits(
            student, part.ids, part.attention, part.positions, keep=keep, cache=part.cache
        )
    targets = [i for ids, count in zip(following, counts, strict=True) for i in ids[:count]]
    lines = torch.from_numpy(part.lines[row]).to(logits.device)
    places = torch.from_numpy(column - (width - keep)).to(logits.device)
    wanted = torch.tensor(targets, dtype=torch.long, device=logits.device)
    found = _of_tokens(logits[lines, places], wanted).cpu()
    return list(torch.split(found, counts.tolist()))


def option_logprobs(
    student: Student,
    prompts: Sequence[Prompt],
    options: Sequence[str],
    plans: Plan | Sequence[Plan] | None = None,
    *,
    token_budget: int | None = None,
) -> Tensor:
    """Log-probability of each option as the start of the reply, summed over its tokens.

    Every prompt is read once, whatever the number of options. `token_budget` is as for
    :func:`completion_logprobs`.

    Returns:
        [N, O] float32 on the CPU, for N prompts and O options.

    Raises:
        DatasetError: no options, or an empty one.
        PlanError, SelectorError, VectorError: as `generate` does.
        StudentError: a prompt that is longer than the student's context with an option behind it,
            logits that are not finite without any edit.

    Warns:
        SteeringWarning: as `generate` does.
    """
    if not options or "" in options:
        raise DatasetError("Options to score must be one or more texts, none of them empty.")
    rows = encode_all(student, prompts)
    replies = [[_reply(student, p, option) for option in options] for p in prompts]
    tails = [max(map(len, several)) for several in replies]
    whole = [len(row.ids) + tail for row, tail in zip(rows, tails, strict=True)]
    _check_room(student, whole, "Prompt {} has {} tokens with the longest option")
    planned = one_per_row(plans, len(rows))
    out = torch.zeros(len(rows), len(options))
    with (
        torch.inference_mode(),
        steering(student, planned, rows, max(tails, default=0)) as edits,
    ):
        warn_of_idle_edits(edits)
        budget = token_budget or reading_budget(student.device)
        for chosen in _batches(student, rows, tails, budget):
            numbers = np.array(chosen)
            batch = pad([rows[i].ids for i in chosen], student.pad_id, "left", student.device)
            edits.select(numbers)
            edits.on_rows("left", batch.ids.shape[1])
            several = [replies[i] for i in chosen]
            out[chosen] = _score_options(student, batch, several, numbers, edits).cpu()
    _check_sound(student, out.isnan().any(-1).tolist(), planned)
    return out


def _check_room(student: Student, lengths: Sequence[int], told: str) -> None:
    """Refuse rows for which the context is too short; `told` says it of a number and a length."""
    limit = student.context_length
    for number, length in enumerate(lengths):
        if limit is not None and length > limit:
            raise StudentError(
                f"{told.format(number, length)}, but {student.name} reads {limit}; shorten it."
            )


def _check_sound(student: Student, broken: Sequence[bool], plans: Sequence[Plan]) -> None:
    """Refuse log-probabilities of activations that were out of range."""
    if True in broken:
        row = broken.index(True)
        raise out_of_range(student, row, plans[row])


def _batches(
    student: Student, rows: Sequence[Encoded], tails: Sequence[int], token_budget: int
) -> Iterator[list[int]]:
    """Numbers of rows in batches; `tails` says how many tokens are read behind each.

    The context has room for the longest tail of a batch behind its longest row, pads included.
    """
    lengths = [len(row.ids) for row in rows]
    furthest = (student.context_length or sys.maxsize) - max(tails, default=0)
    apart = [
        (tail if n > furthest else 0, student.rotation(n, tail))
        for n, tail in zip(lengths, tails, strict=True)
    ]
    return buckets(lengths, token_budget, one_length=student.recurrent, apart=apart)


def _score_options(
    student: Student,
    batch: Batch,
    options: Sequence[Sequence[Sequence[int]]],
    numbers: Index,
    edits: Steering,
) -> Tensor:
    """[B, O] log-probabilities of the options of each row of a batch."""
    device = student.device
    flat = [ids for several in options for ids in several]
    longest = max(len(ids) for ids in flat)
    cache: Any = decoding_cache(student, longest) if longest > 1 else None
    first = forward.logits(student, batch.ids, batch.mask, batch.positions, keep=1, cache=cache)
    heads = torch.tensor([[ids[0] for ids in several] for several in options], device=device)
    scores = torch.log_softmax(first[:, -1].float(), dim=-1).gather(1, heads)
    if longest == 1:
        return scores
    # The first token is known from the prompt; the others follow on its cache.
    each = torch.arange(len(options), device=device).repeat_interleave(len(options[0]))
    cache.reorder_cache(each)
    edits.select(numbers[each.cpu().numpy()])
    tails = pad(flat, student.pad_id, "right", device)
    before = Batch(*(values[each] for values in (batch.ids, batch.attention, batch.positions)))
    rest = _score_tails(student, before, tails, edits, cache)
    return scores + rest.view_as(scores)


def _score_tails(
    student: Student, before: Batch, tails: Batch, edits: Steering, cache: Any
) -> Tensor:
    """[B] summed log-probabilities of all tokens of each row of `tails` [B, T] but the first.

    Args:
        before: the rows' prompts, which the cache holds.
    """
    inputs, targets = tails.ids[:, :-1], tails.ids[:, 1:]
    scored = tails.attention[:, 1:]
    length = inputs.shape[1]
    # Some recurrent models go on from their state by single tokens only.
    width = 1 if student.recurrent else length
    total = torch.zeros(len(inputs), device=inputs.device)
    said = Said.nothing(len(inputs))
    for start in range(0, length, width):
        part = slice(start, start + width)
        said = edits.on_reply(said, inputs[:, part].cpu().numpy())
        attention = None
        if before.mask is not None:
            seen = tails.attention[:, : part.stop]
            attention = torch.cat([before.attention, seen], dim=1)
        positions = before.positions[:, -1:] + 1 + tails.positions[:, part]
        logits = forward.logits(
            student, inputs[:, part], attention, positions, keep=width, cache=cache
        )
        found = _of_tokens(logits, targets[:, part])
        total += torch.where(scored[:, part].bool(), found, 0).sum(-1)
    return total


def _of_tokens(logits: Tensor, ids: Tensor) -> Tensor:
    """[...] log-probabilities of the tokens `ids` [...] under logits [..., V]; NaN where these are
    not finite."""
    chosen = logits.gather(-1, ids[..., None]).squeeze(-1).float()
    total = torch.logsumexp(logits.float(), dim=-1)
    return torch.where(total.isfinite(), chosen - total, torch.nan)


def _reply(student: Student, prompt: Prompt, option: str) -> list[int]:
    row = encode(student, Example(prompt=prompt, completion=option))
    return row.ids[row.prompt_length :]
