"""Answers in the form of OpenAI's chat completions, and as other servers shape them."""

from __future__ import annotations

import json
from typing import Any

from tests.loopback.server import Answer

MODEL = "model-of-the-tests"
USAGE = {
    "prompt_tokens": 16,
    "completion_tokens": 7,
    "total_tokens": 23,
    "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
}


def completion(
    text: str | None = "{}",
    *,
    finish_reason: str | None = "stop",
    more: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A chat completion; `more` goes into its message."""
    turn = {"role": "assistant", "content": text, "refusal": None, **(more or {})}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {"index": 0, "message": turn, "logprobs": None, "finish_reason": finish_reason}
        ],
        "usage": USAGE,
        **changes,
    }


def vllm(text: str | None, **changes: Any) -> dict[str, Any]:
    """As vllm shapes it: reasoning apart, many fields that are null."""
    more: dict[str, Any] = {
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": [],
        "reasoning_content": 'so {"not": "this"}',
    }
    usage = {"prompt_tokens": 16, "completion_tokens": 7, "total_tokens": 23}
    body = completion(text, more=more, usage={**usage, "prompt_tokens_details": None}, **changes)
    body["choices"][0] |= {"stop_reason": None, "token_ids": None}
    return body | {"service_tier": None, "prompt_logprobs": None, "kv_transfer_params": None}


def llama_cpp(text: str | None, **changes: Any) -> dict[str, Any]:
    """As the server of llama.cpp shapes it: timings beside the usage."""
    usage = {"prompt_tokens": 16, "completion_tokens": 7, "total_tokens": 23}
    body = completion(text, usage=usage, **changes)
    del body["choices"][0]["message"]["refusal"]
    del body["choices"][0]["logprobs"]
    timings = {"prompt_n": 16, "prompt_ms": 1.5, "predicted_n": 7, "predicted_per_second": 80.25}
    return body | {"system_fingerprint": "b1-abc", "timings": timings}


def ollama(text: str | None, **changes: Any) -> dict[str, Any]:
    """As ollama shapes it: little, and reasoning in a field of its own name."""
    usage = {"prompt_tokens": 16, "completion_tokens": 7, "total_tokens": 23}
    body = completion(text, usage=usage, **changes)
    body["choices"][0]["message"] = {"role": "assistant", "content": text, "reasoning": "hm"}
    return body | {"system_fingerprint": "fp_ollama"}


def said(text: str | None = "{}", **changes: Any) -> Answer:
    """A whole answer with a completion."""
    return Answer(json.dumps(completion(text, **changes)))


def error(status: int, text: str = "said the server") -> Answer:
    """An answer with an error."""
    body = {"error": {"message": text, "type": "some_error", "param": None, "code": None}}
    return Answer(json.dumps(body), status=status)
