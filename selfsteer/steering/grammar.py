"""What a reply must look like: a JSON schema, a regular expression, or a grammar in Lark's form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self


@dataclass(frozen=True)
class Grammar:
    """A rule for whole replies, from their first character to their last.

    Attributes:
        kind: how the rule is written.
        source: the rule.
    """

    kind: Literal["json", "regex", "lark"]
    source: str

    @classmethod
    def json(cls, schema: Mapping[str, Any]) -> Self:
        """JSON under a schema, spelled as `json.dumps` does: that leaves nothing to white space.

        Properties come in the order of the schema. A string or number without bounds may run on
        until the reply's length limit cuts it, so give `maxLength`, `enum` or the like.
        """
        return cls("json", json.dumps(schema))

    @classmethod
    def regex(cls, pattern: str) -> Self:
        """A regular expression in Rust's syntax: no look-around, no references back."""
        return cls("regex", pattern)

    @classmethod
    def lark(cls, rules: str) -> Self:
        """Rules in llguidance's form of Lark, the first of them named `start`."""
        return cls("lark", rules)
