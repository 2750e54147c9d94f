"""The documented first real use, word for word: a student by its name, and a large model.

The name is that of a folder here, so that nothing is downloaded; the server is on the loopback
interface, and is named where a real one would be: in the environment.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from selfsteer.agents import llm_controller
from selfsteer.app.commands import run as module
from selfsteer.memory.store import Memory
from tests.agents import large_server
from tests.agents.doubles import EFFORT
from tests.agents.large import fenced
from tests.app.conftest import Cli
from tests.loopback import messages
from tests.loopback.server import Answer, Asked, LoopbackServer
from tests.steering.students import SPECIAL, build_tokenizer

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "controllers.md"
STUDENT = "Qwen/Qwen2.5-0.5B-Instruct"
BY_CLAUDE_ALONE = [
    *("run", "Answer like a patient teacher", "--student", STUDENT),
    *("--controller", "claude", "--model", "MODEL"),
]

# All candidates of a round in one batch: a random student judges them as slowly as it writes.
LITTLE = {
    "effort": EFFORT.model_copy(
        update={
            "trials_per_batch": 100,
            "development_prompts": 2,
            "finalist_samples": 8,
            "confirmation_samples": 12,
        }
    ),
    "max_new_tokens": 12,
}


def documented() -> list[str]:
    """The words of the guide's first command, without the program's name."""
    _, _, section = GUIDE.read_text(encoding="utf-8").partition("## A first real run\n")
    block = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert block is not None
    (command,) = (
        line for line in block[1].replace("\\\n", " ").splitlines() if line.startswith("selfsteer")
    )
    return shlex.split(command)[1:]


class Teacher:
    """A large model that can tell which replies are meant as positive ones while pairs are made,
    as far as a checksum can, and that likes every reply of the search."""

    def __init__(self) -> None:
        self._searching = False

    def __call__(self, asked: Asked) -> Answer:
        (system,) = asked.body["system"]
        task, *more = (turn["content"] for turn in asked.body["messages"])
        role = large_server.role_of(system["text"])
        self._searching = self._searching or role == "choose"
        answer: dict[str, Any] = large_server.answer_to(system["text"], task)
        if role == "judge":
            scores = [self._score(reply) for reply in fenced(task, "reply")]
            answer = {"verdicts": [{"number": i, "score": s} for i, s in enumerate(scores, 1)]}
        elif more:  # there was no candidate to confirm
            answer = {"action": "give_up", "reason": "nothing to learn from"}
        text = json.dumps(answer)
        if asked.body.get("stream"):
            return messages.streamed(messages.events(text))
        return messages.said(text)

    def _score(self, reply: str) -> int:
        return 100 if self._searching or crc32(reply.encode()) % 2 else 0


@pytest.fixture
def server(
    cli: Cli, tmp_path: Path, few_probes: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LoopbackServer]:
    """A student of the family in a folder of its name, a key that is none, and little effort."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(SPECIAL) + 256,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    model = AutoModelForCausalLM.from_config(config)
    # So many tokens end a reply that most are whole, although all are random.
    model.generation_config.eos_token_id = [2, *range(100, 108)]
    model.save_pretrained(tmp_path / STUDENT)
    build_tokenizer().save_pretrained(tmp_path / STUDENT)
    monkeypatch.setattr(llm_controller, "SAMPLES", 192)
    asked = module._settings
    monkeypatch.setattr(
        module,
        "_settings",
        lambda *a, **k: asked(*a, **k).model_copy(update=LITTLE),
    )
    monkeypatch.setenv("ANTHROPIC_API_KEY", "no-key")
    monkeypatch.setenv("NO_PROXY", "*")
    with LoopbackServer(Teacher()) as started:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", started.url)
        yield started


def test_the_first_command_of_the_guide_runs_as_it_stands(
    cli: Cli, server: LoopbackServer, memory: Memory
) -> None:
    words = documented()
    assert words[: len(BY_CLAUDE_ALONE)] == BY_CLAUDE_ALONE
    result = cli(*words)
    assert result.exit_code in (0, 1), result.stderr
    (run,) = memory.runs.all()
    assert run.status in ("accepted", "rejected")
    assert (run.student, run.model) == (STUDENT, "anthropic/MODEL")
    entries = memory.ledger.entries(run.id)
    assert len(entries) == len(server.asked) <= 20
    roles = {entry.role.partition("@")[0] for entry in entries}
    assert roles == {"propose", "choose", "reflect"}
    assert f"paid: {len(entries)} call" in result.stdout
    assert "cost not known" in result.stdout


def test_a_large_model_alone_takes_a_sentence_to_a_vector(
    cli: Cli, server: LoopbackServer, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFSTEER_PRICES", '{"MODEL": {"input": 1, "output": 5}}')
    result = cli(*BY_CLAUDE_ALONE)
    assert result.exit_code == 0, result.stdout + result.stderr
    (run,) = memory.runs.all()
    assert run.status == "accepted"
    assert run.verdict is not None
    vector = memory.get_vector(str(run.verdict["vector_id"]))
    assert vector.student_fingerprint == run.fingerprint
    entries = memory.ledger.entries(run.id)
    assert {entry.status for entry in entries} == {"parsed"}
    assert {entry.role.partition("@")[0] for entry in entries} == {
        "propose",
        "choose",
        "judge",
        "reflect",
    }
    # Its replies were read from the cache and put into it, and no price of that was given.
    assert f"paid: {len(entries)} calls, " in result.stdout
    assert "tokens, at most $0." in result.stdout
