"""`python -m selfsteer.pocket.train`: train Pocket: plain text, chats, all skills, then noise.

Runs on two CPU cores in about two hours, or on a GPU (`--device cuda`). Interrupted, it goes on
from the last checkpoint when called again with the same flags; a phase that is done is skipped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import MistralForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from selfsteer.errors import SelfsteerError, StudentError
from selfsteer.pocket.capability import write_capability
from selfsteer.pocket.checkpoint import save_folder
from selfsteer.pocket.corpus import Phase, documents
from selfsteer.pocket.model import build_model
from selfsteer.pocket.stream import Stream, read_extra
from selfsteer.pocket.tokenizer import train_tokenizer
from selfsteer.pocket.trainer import Settings, Trainer
from selfsteer.pocket.weights import BUNDLED, FOLDERS, TRAINED

PHASES: tuple[Phase, ...] = get_args(Phase)
TOKENIZER_SAMPLE = 20_000  # documents of each phase


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m selfsteer.pocket.train",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("build/pocket"), help="folder of all results")
    add("--phase", choices=(*PHASES, "all"), default="all")
    add("--base-tokens", type=int, default=5_000_000, help="tokens of plain text")
    add(
        "--chat-tokens",
        type=int,
        default=5_000_000,
        help="tokens of chats, without weight on judging",
    )
    add("--instruct-tokens", type=int, default=18_000_000, help="tokens of all skills")
    add("--robust-tokens", type=int, default=15_000_000, help="tokens of all skills, under noise")
    add(
        "--noise",
        type=float,
        default=1.0,
        help="greatest noise of the robust phase, in norms of the residual stream",
    )
    add("--init", type=Path, help="checkpoint to start the phase from (default: OUT/base)")
    add("--lr", type=float, default=4e-3, help="peak learning rate")
    add("--optimiser", choices=("adamw", "muon"), default="muon")
    add("--warmup", type=int, default=100, help="steps of linear warm-up")
    add("--rows", type=int, default=8, help="rows of a step")
    add("--length", type=int, default=640, help="tokens of a row, a multiple of 16")
    add("--extra", type=Path, help="JSON lines of documents, [[role, text, loss], ...] each")
    add("--extra-share", type=float, default=0.3, help="share of documents taken from --extra")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=2)
    add("--device", default="cpu")
    add("--no-compile", action="store_true", help="do without torch.compile")
    add("--checkpoint-minutes", type=float, default=3.0)
    add("--export", action="store_true", help="then write float16 weights into the package")
    options = parser.parse_args(argv)
    if options.init and options.phase == "all":
        parser.error(f"--init needs --phase {' or '.join(PHASES)}")
    return options


def load_checkpoint(folder: Path) -> tuple[MistralForCausalLM, PreTrainedTokenizerFast]:
    """Model (float32) and tokenizer of a folder.

    Raises:
        StudentError: the folder holds no weights.
    """
    if not (folder / "model.safetensors").is_file():
        raise StudentError(f"{folder} holds no model.safetensors; train that phase first")
    model = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, PreTrainedTokenizerFast.from_pretrained(folder)


def new_student(seed: int) -> tuple[MistralForCausalLM, PreTrainedTokenizerFast]:
    """An untrained model and a tokenizer trained on a sample of both phases."""
    sample = (
        segment.text
        for phase in PHASES
        for document in islice(documents(phase, seed), TOKENIZER_SAMPLE)
        for segment in document
    )
    tokenizer = train_tokenizer(sample)
    model = build_model(
        len(tokenizer),
        bos=tokenizer.bos_token_id,
        end=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
        seed=seed,
    )
    return model, tokenizer


def train_phase(options: argparse.Namespace, phase: Phase) -> None:
    """Train one phase to its end, resuming where it was left."""
    folder: Path = options.out / phase
    start: Path | None = options.init or _previous(options.out, phase)
    model, tokenizer = load_checkpoint(start) if start else new_student(options.seed)
    settings = Settings(
        phase=phase,
        tokens=getattr(options, f"{phase}_tokens"),
        lr=options.lr,
        optimiser=options.optimiser,
        warmup=options.warmup,
        rows=options.rows,
        length=options.length,
        seed=options.seed,
        extra_share=options.extra_share if options.extra else 0.0,
        noise=options.noise if phase == "robust" else 0.0,
    )
    stream = Stream(
        tokenizer,
        phase,
        seed=options.seed,
        rows=options.rows,
        length=options.length,
        extra=read_extra(options.extra) if options.extra else (),
        extra_share=settings.extra_share,
    )
    trainer = Trainer(
        model.to(options.device).train(),
        stream,
        settings,
        folder,
        compile_model=not options.no_compile,
        checkpoint_seconds=60 * options.checkpoint_minutes,
    )
    resumed = trainer.resume()
    console = Console(stderr=True)
    console.print(
        f"{phase}: {model.num_parameters():,} parameters, {settings.steps} steps of "
        f"{settings.rows * settings.length} tokens" + (f", from step {trainer.step}" * resumed)
    )
    with reporter(console, phase, settings.steps, trainer.step) as report:
        trainer.run(report)


def _previous(out: Path, phase: Phase) -> Path | None:
    """The checkpoint that a phase starts from."""
    before = PHASES.index(phase) - 1
    return out / PHASES[before] if before >= 0 else None


Report = Callable[[dict[str, float]], None]


def reporter(console: Console, phase: str, steps: int, done: int) -> AbstractContextManager[Report]:
    """A progress bar on a terminal, otherwise a line for every entry of the log."""
    if not console.is_terminal:
        return nullcontext(lambda line: console.print(f"{phase} {line}", soft_wrap=True))
    return _Bar(console, phase, steps, done)


class _Bar:
    def __init__(self, console: Console, phase: str, steps: int, done: int) -> None:
        columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console)
        self.phase = phase
        self.task = self.progress.add_task(phase, total=steps, completed=done)

    def __enter__(self) -> Report:
        self.progress.start()
        return self._update

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def _update(self, line: dict[str, float]) -> None:
        text = f"{self.phase} loss {line['loss']:.3f}, {line['tokens_per_second']:,} tokens/s"
        self.progress.update(self.task, completed=line["step"], description=text)


def export(out: Path) -> None:
    """Write both checkpoints in float16 into the package."""
    for folder in FOLDERS.values():
        model, tokenizer = load_checkpoint(out / TRAINED[folder])
        save_folder(BUNDLED / folder, model, tokenizer, torch.float16)
    write_capability(BUNDLED / FOLDERS["pocket"])


def main(argv: Sequence[str] | None = None) -> int:
    """Train what the command line asks for; returns the exit code."""
    options = arguments(argv)
    torch.set_num_threads(options.threads)
    # Tiny Adam moments would otherwise run through the CPU's slow path. It holds for the whole
    # process, so it is taken back at the end.
    torch.set_flush_denormal(True)
    # That of writing one small file.
    disable_progress_bar()  # type: ignore[no-untyped-call]
    phases: tuple[Phase, ...] = PHASES if options.phase == "all" else (options.phase,)
    try:
        for phase in phases:
            train_phase(options, phase)
        if options.export:
            export(options.out)
    except SelfsteerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        torch.set_flush_denormal(False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
