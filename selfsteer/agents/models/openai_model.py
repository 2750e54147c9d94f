"""Models behind a chat completions API: OpenAI's own, vllm, llama.cpp, ollama and their like.

Answers are asked for by JSON schema. A server that does not know how gets the schema in the prompt
instead. What `request` makes is the same either way, because it names the call in the ledger, and a
resumed run must find what it paid for whatever the server is able to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from selfsteer.agents.models.allow import check_allowed
from selfsteer.agents.models.chat_model import Ask, Reply
from selfsteer.agents.models.endpoint import Endpoint, check_model_name, key_from_environment
from selfsteer.agents.models.openai_reply import read_completion
from selfsteer.agents.models.outcomes import NotingClient, told_apart
from selfsteer.agents.models.waits import TIMEOUT
from selfsteer.errors import ControllerError

if TYPE_CHECKING:
    import openai

KEY_VARIABLE = "OPENAI_API_KEY"
_OFFICIAL_HOST = "api.openai.com"
# The SDK insists on a key; servers of one's own mostly look at none.
_NO_KEY = "none"
_FORMAT = "response_format"
_FORMAT_WORDS = (_FORMAT, "json_schema", "grammar")
_INSTRUCTION = "Answer with one JSON value that follows this JSON schema, and with nothing else:\n"


class OpenAIModel:
    """A chat model through the openai SDK.

    Args:
        model: its name.
        base_url: the server, up to and with `/v1`; None leaves it to `OPENAI_BASE_URL` and the SDK.
        timeout: seconds without a byte after which a call is given up.

    Raises:
        ControllerError: the name is blank, the package openai is missing, or OpenAI itself is to be
            asked and `OPENAI_API_KEY` is not set.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        check_model_name(model, "an OpenAI-compatible server")
        self._sdk = _sdk()
        key = key_from_environment(KEY_VARIABLE)
        http = NotingClient(timeout)
        self._client: openai.OpenAI = self._sdk.OpenAI(
            api_key=key or _NO_KEY,
            base_url=base_url,
            max_retries=0,  # see `outcomes`
            timeout=http.timeout,
            http_client=http,
        )
        self._official = self._client.base_url.host == _OFFICIAL_HOST
        if key is None and self._official:
            raise ControllerError(
                f"OpenAI's models need a key: put it into the environment as {KEY_VARIABLE}, or "
                "give the base URL of a server of your own."
            )
        self._model = model.strip()
        self._endpoint = Endpoint("the OpenAI-compatible endpoint", KEY_VARIABLE, key or "")
        self._knows_schemas = True

    @property
    def name(self) -> str:
        """`openai/` and the model's name."""
        return f"openai/{self._model}"

    def request(self, ask: Ask) -> dict[str, JsonValue]:
        """As in `ChatModel`."""
        system: list[JsonValue] = [{"role": "system", "content": ask.system}] if ask.system else []
        turns: list[JsonValue] = [{"role": m.role, "content": m.content} for m in ask.messages]
        # OpenAI's newer models refuse the old name, and older servers do not know the new one.
        limit = "max_completion_tokens" if self._official else "max_tokens"
        return {
            "model": self._model,
            "messages": system + turns,
            limit: ask.max_tokens,
            _FORMAT: {
                "type": "json_schema",
                "json_schema": {"name": ask.answer_name, "schema": ask.answer_schema},
            },
        }

    def send(self, request: Mapping[str, JsonValue]) -> str:
        """As in `ChatModel`; a server that knows no schemas is asked again, and plainly hence."""
        check_allowed(self._client.base_url.host)
        with told_apart(self._endpoint, self._sdk.OpenAIError):
            if self._knows_schemas:
                try:
                    return self._post(request)
                except (self._sdk.BadRequestError, self._sdk.UnprocessableEntityError) as error:
                    if not _is_about_the_format(error.response.text):
                        raise
                    self._knows_schemas = False
            return self._post(with_schema_in_prompt(request))

    def read(self, body: str) -> Reply:
        """As in `ChatModel`."""
        return read_completion(body)

    def _post(self, request: Mapping[str, JsonValue]) -> str:
        arguments: Any = dict(request)
        return self._client.chat.completions.with_raw_response.create(**arguments).text


def with_schema_in_prompt(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request that asks in words for what `response_format` asks for, at the end of the system
    message."""
    plain = {name: value for name, value in request.items() if name != _FORMAT}
    schema = json.dumps(request[_FORMAT]["json_schema"]["schema"], ensure_ascii=False)
    turns = list(request["messages"])
    words = _INSTRUCTION + schema
    if turns[0]["role"] == "system":
        words = f"{turns.pop(0)['content']}\n\n{words}"
    return {**plain, "messages": [{"role": "system", "content": words}, *turns]}


def _is_about_the_format(error: str) -> bool:
    return any(word in error.lower() for word in _FORMAT_WORDS)


def _sdk() -> Any:
    try:
        return import_module("openai")
    except ImportError as error:
        raise ControllerError(
            "OpenAI-compatible models need the package openai; install it with: "
            "pip install 'selfsteer[openai]'."
        ) from error
