"""What the tests ask, and models that are quick to give up."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from selfsteer.agents.models.anthropic_model import AnthropicModel
from selfsteer.agents.models.chat_model import Ask, ChatModel
from selfsteer.agents.models.openai_model import OpenAIModel
from selfsteer.steering.prompts import Message
from tests.loopback.server import LoopbackServer

# Long enough for loopback on a busy machine, short enough to be waited for.
PATIENCE = 0.5


class Score(BaseModel):
    """An answer's type."""

    score: float = Field(ge=0, le=1)
    reason: str


def ask(**changes: Any) -> Ask:
    """A question about a score."""
    fields: dict[str, Any] = {
        "system": "You score replies.",
        "messages": (Message(role="user", content="Reply: <<hello>>"),),
        "answer_schema": Score.model_json_schema(),
        "answer_name": "score",
        "max_tokens": 256,
    }
    return Ask(**{**fields, **changes})


def claude(server: LoopbackServer, **options: Any) -> AnthropicModel:
    """A model of Anthropic's API behind a server."""
    defaults = {"base_url": server.url, "max_retries": 0, "poll_seconds": 0.0}
    return AnthropicModel("claude-of-the-tests", **{**defaults, **options})


def compatible(server: LoopbackServer, **options: Any) -> OpenAIModel:
    """A model of a chat completions API behind a server."""
    defaults = {"base_url": f"{server.url}/v1"}
    return OpenAIModel("model-of-the-tests", **{**defaults, **options})


def answer_of(model: ChatModel, **changes: Any) -> str:
    """The body that a model sends back for a question."""
    return model.send(model.request(ask(**changes)))
