"""The prompts of controllers: Markdown files with named fields, and how they are filled in.

A file has a part that stays the same from call to call of a round, then a line `----`, then a part
that does not. What a run keeps fixed, its goal and its rubric, stands in the first, which providers
can cache where it is long enough. Fields are `$name`. What is put in for a field is never read for
fields again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

_RULE = "\n----\n"


@dataclass(frozen=True)
class PromptFile:
    """A prompt as it is stored.

    Attributes:
        name: of the file, without its ending.
        stable: the part that is the same in every call of a round.
        varying: the part that is not.
    """

    name: str
    stable: Template
    varying: Template

    @property
    def version(self) -> str:
        """The name and the first digits of the text's SHA-256: `judge@1a2b3c4d`."""
        text = f"{self.stable.template}{_RULE}{self.varying.template}"
        return f"{self.name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def fill(self, **fields: str) -> tuple[str, str]:
        """Both parts with their fields filled in.

        Raises:
            KeyError: a field of the file is missing.
        """
        return self.stable.substitute(fields).strip(), self.varying.substitute(fields).strip()


@cache
def load_prompt(name: str) -> PromptFile:
    """A prompt by its name."""
    text = files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    stable, _, varying = text.partition(_RULE)
    return PromptFile(name, Template(stable), Template(varying))


def fence(label: str, text: str) -> str:
    """Text that others wrote, marked as data.

    The mark is a hash of the text, so no text can hold the line that ends its own fence.
    """
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"<data {label} {mark}>\n{text}\n</data {mark}>"
