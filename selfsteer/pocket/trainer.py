"""One phase of training: packed steps in, checkpoints and a log out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MistralForCausalLM

from selfsteer.errors import StudentError
from selfsteer.pocket.checkpoint import load_state, save_folder, save_state
from selfsteer.pocket.model import label_loss, packed_hidden, use_banded_attention
from selfsteer.pocket.muon import Muon
from selfsteer.pocket.noise import Noise, draw_noise, take_noise
from selfsteer.pocket.packing import Rows, targets
from selfsteer.pocket.stream import Position, Stream


@dataclass(frozen=True)
class Settings:
    """What decides the course of a phase; a resumed run must have the same."""

    phase: str
    tokens: int
    lr: float
    optimiser: str
    warmup: int  # steps
    rows: int
    length: int
    seed: int
    extra_share: float
    noise: float  # greatest, in norms of the activation

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole phase."""
        return max(1, self.tokens // (self.rows * self.length))


def lr_factor(step: int, total: int, warmup: int, floor: float = 0.02) -> float:
    """Learning rate as a share of its peak: linear warm-up, then cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def build_optimisers(model: nn.Module, kind: str, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW over everything, or Muon over the blocks' matrices and AdamW over the rest."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    embeddings = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" in n]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    adam: list[dict[str, Any]] = [
        {"params": embeddings, "weight_decay": 0.1},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimisers: list[torch.optim.Optimizer] = []
    if kind == "muon":
        optimisers.append(Muon(matrices, lr=lr))
    else:
        adam.append({"params": matrices, "weight_decay": 0.1})
    optimisers.append(torch.optim.AdamW(adam, lr=lr, betas=(0.9, 0.95), fused=True))
    return optimisers


class Trainer:
    """Runs a phase and keeps `folder` (ready to load), its state and its log up to date."""

    def __init__(
        self,
        model: MistralForCausalLM,
        stream: Stream,
        settings: Settings,
        folder: Path,
        *,
        compile_model: bool = True,
        checkpoint_seconds: float = 180.0,
    ) -> None:
        self.model, self.stream, self.settings, self.folder = model, stream, settings, folder
        self.checkpoint_seconds = checkpoint_seconds
        self.state_path = folder.with_name(f"{folder.name}.state.safetensors")
        self.log_path = folder.with_name(f"{folder.name}.log.jsonl")
        self.optimisers = build_optimisers(model, settings.optimiser, settings.lr)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.step, self.position = 0, Position()
        use_banded_attention(model)
        if settings.noise:
            take_noise(model)
        self._hidden: Callable[[Tensor, Tensor, Noise | None], Tensor] = self._trunk
        if compile_model:
            self._hidden = torch.compile(self._trunk, dynamic=False)

    def _trunk(self, ids: Tensor, documents: Tensor, noise: Noise | None) -> Tensor:
        return packed_hidden(self.model, ids, documents, noise)

    def _noise(self, documents: Tensor) -> Noise | None:
        """The noise of this step: the same in a resumed run."""
        if not self.settings.noise:
            return None
        config = self.model.config
        draw = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        found = draw_noise(
            documents, config.num_hidden_layers, config.hidden_size, self.settings.noise, draw
        )
        return Noise(*(part.to(self.model.device) for part in found))

    def resume(self) -> bool:
        """Go on from the saved state, if there is one.

        Raises:
            StudentError: the state is damaged or belongs to other settings.
        """
        if not self.state_path.exists():
            return False
        header = load_state(self.state_path, self.model, self.optimisers)
        if header["settings"] != asdict(self.settings):
            raise StudentError(
                f"{self.state_path} was begun with {header['settings']}, not with "
                f"{asdict(self.settings)}; use the same flags, another --out, or delete it"
            )
        self.step, self.position = header["step"], Position(*header["position"])
        self._cut_log()
        return True

    def _cut_log(self) -> None:
        """Drop the log's lines past the state that training goes on from."""
        if self.log_path.exists():
            lines = self.log_path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= self.step]
            self.log_path.write_text("".join(kept))

    def save(self) -> None:
        """Write the resumable state and the folder."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "settings": asdict(self.settings),
            "step": self.step,
            "position": self.position,
        }
        save_state(self.state_path, self.model, self.optimisers, header)
        save_folder(self.folder, self.model, self.stream.tokenizer)

    def train_step(self, rows: Rows) -> Tensor:
        """One optimiser step; returns the mean loss in nats, detached."""
        device = self.model.device
        factor = lr_factor(self.step, self.settings.steps, self.settings.warmup)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.settings.lr * factor
        positions, labels, weights = (
            part.to(device) for part in targets(rows.labels, rows.weights)
        )
        noise = self._noise(rows.documents)
        hidden = self._hidden(rows.ids.to(device), rows.documents.to(device), noise)
        head = self.model.lm_head.weight
        loss = label_loss(hidden, head, labels, positions, weights)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    def run(self, report: Callable[[dict[str, float]], None], report_steps: int = 20) -> None:
        """Train to the end of the phase; `report` gets each line of the log."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        per_step = self.settings.rows * self.settings.length
        losses: list[Tensor] = []
        saved = since = time.perf_counter()
        with self.log_path.open("a", encoding="utf-8") as log:
            for rows, position in self.stream.steps(self.position):
                if self.step >= self.settings.steps:
                    break
                losses.append(self.train_step(rows))
                self.step, self.position = self.step + 1, position
                now = time.perf_counter()
                if self.step % report_steps == 0 or self.step == self.settings.steps:
                    line = {
                        "step": self.step,
                        "tokens": self.step * per_step,
                        "loss": round(torch.stack(losses).mean().item(), 4),
                        "lr": self.optimisers[0].param_groups[0]["lr"],
                        "tokens_per_second": round(len(losses) * per_step / (now - since)),
                    }
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    report(line)
                    losses, since = [], now
                if now - saved > self.checkpoint_seconds:
                    self.save()
                    saved = time.perf_counter()
        self.save()
