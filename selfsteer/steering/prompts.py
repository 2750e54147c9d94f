"""What is put to a student: chat messages or raw text, and a reply to go with it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Role = Literal["system", "user", "assistant"]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True)

    role: Role
    content: str


class Prompt(BaseModel):
    """Either chat messages or raw text, never both and never neither.

    Raises:
        pydantic.ValidationError: when both or neither of `messages` and `text` are given.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = ()
    text: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.messages) == (self.text is not None):
            raise ValueError("a prompt holds either chat messages or raw text: give exactly one")
        return self

    @classmethod
    def chat(cls, user: str, *, system: str | None = None) -> Prompt:
        """A single user turn, with a system message before it where one is given."""
        turn = Message(role="user", content=user)
        if system is None:
            return cls(messages=(turn,))
        return cls(messages=(Message(role="system", content=system), turn))

    @classmethod
    def raw(cls, text: str) -> Prompt:
        """Text that the student continues, without any template."""
        return cls(text=text)

    def with_system(self, system: str) -> Prompt:
        """The same prompt under another system message, which replaces the one that is there.

        Raw text has no roles: the instruction becomes the line before it.
        """
        if self.text is not None:
            return Prompt.raw(f"{system}\n{self.text}")
        turns = tuple(m for m in self.messages if m.role != "system")
        return Prompt(messages=(Message(role="system", content=system), *turns))


class Example(BaseModel):
    """A prompt and the reply to it; an empty completion means that there is none yet."""

    model_config = ConfigDict(frozen=True)

    prompt: Prompt
    completion: str = ""
