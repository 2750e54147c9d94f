"""Which of several texts a student finds likelier as its reply because of what it was told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message, Prompt
from selfsteer.steering.scoring import option_logprobs


def weigh(student: Student, prompt: Prompt, options: Sequence[str]) -> list[float]:
    """What the messages behind the first one add to the log-probability of each option, in nats.

    The score of an option is its log-probability as the reply, less that as the reply to an empty
    message under the same system message: texts of different length and wording can only be
    compared by what they are told beside it. Minus infinity where that is no finite number.
    Source: domain-conditional PMI, Holtzman et al. 2021.

    Raises:
        DatasetError: no options, or an empty one.
        StudentError: a student whose logits are not finite.
    """
    silence = Prompt(messages=(prompt.messages[0], Message(role="user", content="")))
    asked, unasked = option_logprobs(student, [prompt, silence], options).tolist()
    return [
        a - b if math.isfinite(a - b) else -math.inf for a, b in zip(asked, unasked, strict=True)
    ]
