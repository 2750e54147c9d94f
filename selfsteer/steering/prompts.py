"""What is put to a student: chat messages or raw text, and a reply to go with it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator


def _utf8(text: str) -> str:
    # JSON and command lines can hold half of a surrogate pair; no tokenizer can read it.
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("text must be valid Unicode, without half of a surrogate pair") from error
    return text


Text = Annotated[str, AfterValidator(_utf8)]
Role = Literal["system", "user", "assistant"]


class Message(BaseModel):
    """One turn of a conversation.

    Raises:
        pydantic.ValidationError: text that is no valid Unicode.
    """

    model_config = ConfigDict(frozen=True)

    role: Role
    content: Text


class Prompt(BaseModel):
    """Either chat messages or raw text, never both and never neither.

    Raises:
        pydantic.ValidationError: when both or neither of `messages` and `text` are given; text that
            is no valid Unicode.
    """

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = ()
    text: Text | None = None

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
    """A prompt and the reply to it; an empty completion means that there is none yet.

    Raises:
        pydantic.ValidationError: text that is no valid Unicode.
    """

    model_config = ConfigDict(frozen=True)

    prompt: Prompt
    completion: Text = ""
