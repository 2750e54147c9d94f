"""Learn a `UserEncoder`: what to add for a user, so that what they say next becomes likely."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering import forward
from selfsteer.steering.batching import Batch, buckets, pad
from selfsteer.steering.encoding import Encoded, encode_turn
from selfsteer.steering.layer_hooks import on_layer
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.reading import read_turns
from selfsteer.steering.users.shrinkage import UserSpace, components

_RATE = 0.01
_ROWS = 2048  # tokens of a step, pads included
_DEFAULT_RANK = 24


@dataclass(frozen=True)
class Progress:
    """Where the fitting stands.

    Attributes:
        done, steps: of gradient descent.
        bits: per token of the last step's messages.
    """

    done: int
    steps: int
    bits: float


def fit_encoder(
    student: Student,
    population: Sequence[History],
    *,
    layer: int | None = None,
    read_layer: int | None = None,
    rank: int = _DEFAULT_RANK,
    epochs: int = 6,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda _: None,
) -> UserEncoder:
    """Learn from a population how a user's messages tell what the user says next.

    In every epoch each user's messages are parted at random: some, from one to all but one, show
    the user's place, and the others are predicted. Gradients go through the frozen student.

    Args:
        population: users with two messages or more each; what the map may know of anybody.
        layer: where vectors are added; None for the block in the middle.
        read_layer: where messages are read; None for the same block.
        rank: of the map, at most: how many vectors serve all users.
        epochs: how often every message is seen.
        report: is told after each step.

    Raises:
        DatasetError: too few users or messages.
        StudentError: a layer does not exist.
    """
    layer = student.n_layers // 2 if layer is None else layer
    read_layer = layer if read_layer is None else read_layer
    users = [history for history in population if len(history.turns) > 1]
    student.check_layer(layer)
    read = read_turns(student, users, [read_layer]) if users else []
    space = UserSpace.of(*components([user.values[0].double().cpu() for user in read]), rank)
    measured = [space.measure(user.values[0].cpu()) for user in read]
    steered = read if layer == read_layer else read_turns(student, users, [layer])
    norm = float(torch.stack([user.norms[0].mean() for user in steered]).mean())
    fit = _Fit(student, users, measured, space, layer, norm, rank, seed)
    fit.run(epochs, report)
    return UserEncoder(
        layer=layer,
        norm=norm,
        read_layer=read_layer,
        space=space,
        weights=fit.weights.detach().cpu(),
        basis=fit.basis.detach().cpu(),
        origin=fit.origin.detach().cpu(),
        users=len(users),
        student_fingerprint=student.fingerprint,
    )


@dataclass(frozen=True)
class _Step:
    """Some messages, padded on the left.

    Attributes:
        owners: [B], the user of each.
        places: [B], which of the user's messages it is.
        steered: [B, T, 1], 1 at the tokens that are edited.
        scored: [B, K], 1 where one of the last K tokens is the message's.
    """

    batch: Batch
    owners: Tensor
    places: Tensor
    steered: Tensor
    scored: Tensor


class _Fit:
    """The matrices of the map, and their descent."""

    def __init__(
        self,
        student: Student,
        users: Sequence[History],
        measured: Sequence[Tensor],
        space: UserSpace,
        layer: int,
        norm: float,
        rank: int,
        seed: int,
    ) -> None:
        self.student, self.layer, self.norm = student, layer, norm
        self.measured, self.space = measured, space
        self.random = Random(seed)
        draw = torch.Generator().manual_seed(seed)
        on = student.device
        count = len(space.spread)
        # The basis starts at zero: at first nothing is added, for anybody.
        self.weights = (torch.randn(count, rank, generator=draw) / math.sqrt(count)).to(on)
        self.basis = torch.zeros(rank, student.d_model, device=on)
        self.origin = torch.zeros(student.d_model, device=on)
        self.steps = _steps(student, users)

    def run(self, epochs: int, report: Callable[[Progress], None]) -> None:
        parameters = [self.weights, self.basis, self.origin]
        for parameter in parameters:
            parameter.requires_grad_()
        descent = torch.optim.Adam(parameters, lr=_RATE)
        total, done = epochs * len(self.steps), 0
        for _ in range(epochs):
            self.random.shuffle(self.steps)
            shown = [self._part(len(rows)) for rows in self.measured]
            for step in self.steps:
                for group in descent.param_groups:
                    group["lr"] = _RATE * (1 + math.cos(math.pi * done / total)) / 2
                loss = self._loss(step, shown)
                gradients = torch.autograd.grad(loss, parameters)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                descent.step()
                done += 1
                report(Progress(done, total, float(loss.detach()) / math.log(2)))

    def _part(self, n: int) -> Tensor:
        """[n] bool, the messages of a user that are read and not predicted."""
        order = self.random.sample(range(n), n)
        shown = torch.zeros(n, dtype=torch.bool)
        shown[order[: self.random.randint(1, n - 1)]] = True
        return shown

    def _loss(self, step: _Step, shown: Sequence[Tensor]) -> Tensor:
        """Nats per token of the messages that are not shown."""
        owners = step.owners.tolist()
        places = {user: self._place(self.measured[user][shown[user]]) for user in set(owners)}
        place = torch.stack([places[user] for user in owners]).to(self.student.device)
        push = self.norm * (place @ self.weights @ self.basis + self.origin)
        hidden_from = torch.tensor(
            [not shown[user][n] for user, n in zip(owners, step.places.tolist(), strict=True)]
        ).to(self.student.device)
        weight = step.scored * hidden_from[:, None]
        found = self._logprobs(step, step.steered * push[:, None])
        return -(found * weight).sum() / weight.sum().clamp(min=1)

    def _place(self, measured: Tensor) -> Tensor:
        return self.space.guess(measured, torch.ones(len(measured), dtype=torch.float64)).float()

    def _logprobs(self, step: _Step, delta: Tensor) -> Tensor:
        """[B, K] log-probabilities of the last K tokens, with ``delta`` [B, T, D] added."""
        batch, kept = step.batch, step.scored.shape[1]
        handle = on_layer(self.student, self.layer, lambda hidden: hidden + delta.to(hidden))
        try:
            logits = forward.logits(
                self.student, batch.ids, batch.mask, batch.positions, keep=kept + 1
            )
        finally:
            handle.remove()
        scores = torch.log_softmax(logits[:, :-1].float(), dim=-1)
        return scores.gather(-1, batch.ids[:, -kept:, None]).squeeze(-1)


def _steps(student: Student, users: Sequence[History]) -> list[_Step]:
    rows = [
        (number, place, encode_turn(student, [Message(role="user", content=turn.words)]))
        for number, user in enumerate(users)
        for place, turn in enumerate(user.turns)
    ]
    if not rows:
        raise DatasetError("There is no user with two messages to learn from.")
    lengths = [len(row.ids) for _, _, row in rows]
    apart = [student.rotation(length) for length in lengths]
    batches = buckets(lengths, _ROWS, one_length=student.recurrent, apart=apart)
    return [_step(student, [rows[i] for i in chosen]) for chosen in batches]


def _step(student: Student, rows: Sequence[tuple[int, int, Encoded]]) -> _Step:
    batch = pad([row.ids for _, _, row in rows], student.pad_id, "left", student.device)
    width = batch.ids.shape[1]
    said = torch.tensor([len(row.ids) - row.prompt_length for _, _, row in rows])
    kept = int(said.max())
    # `TURN`: the token that leads to the words, and the words.
    steered = torch.arange(width) >= width - said[:, None] - 1
    scored = torch.arange(kept) >= kept - said[:, None]
    on = student.device
    return _Step(
        batch=batch,
        owners=torch.tensor([owner for owner, _, _ in rows]),
        places=torch.tensor([place for _, place, _ in rows]),
        steered=steered[..., None].float().to(on),
        scored=scored.float().to(on),
    )
