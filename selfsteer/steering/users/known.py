"""What is known of users at large, against which one user is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.vectors import SteeringVector


@dataclass(frozen=True)
class Known:
    """The shared part of every derivation; it holds nobody's messages.

    Attributes:
        encoder: where users differ, and what to add for it.
        traits: named vectors that all users share, by name; may be empty.
    """

    encoder: UserEncoder
    traits: Mapping[str, SteeringVector] = field(default_factory=dict)
