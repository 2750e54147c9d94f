"""What is left of a run's budget: asked before every spend, so that no limit is ever passed."""

from __future__ import annotations

from selfsteer.agents.budget import OutOfBudget, Spent
from selfsteer.agents.context import Context
from selfsteer.agents.paid_calls import spent_on_calls
from selfsteer.agents.stages import confirming
from selfsteer.agents.state import LoopState
from selfsteer.steering.evaluate import Samples

ARMS = 2  # of a confirmation: steered and prompt-only


def spent_so_far(state: LoopState) -> Spent:
    """What the nodes say that they spent; paid calls are the ledger's to say."""
    return Spent.model_validate(state.get("spent") or {})


def spent_in_all(state: LoopState, context: Context) -> Spent:
    """What the run has spent, paid calls included, whichever process spent it."""
    paid = spent_on_calls(context.memory.ledger.paid(context.run_id))
    names = ("controller_calls", "controller_tokens", "money")
    return spent_so_far(state).model_copy(update={name: getattr(paid, name) for name in names})


def check_budget(state: LoopState, context: Context) -> None:
    """Refuse to open further work.

    Raises:
        OutOfBudget: a limit is reached.
    """
    shortage = context.settings.budget.exhausted(spent_in_all(state, context))
    if shortage is not None:
        raise OutOfBudget(shortage)


def confirmation_replies(context: Context) -> int:
    """Replies of the look that accepts or refuses, which the search leaves room for."""
    return ARMS * confirming(context)


def samples_cost(samples: Samples) -> dict[str, float]:
    """What samples cost, in the words of `Spent`."""
    replies = len(samples.reference) * (len(samples.replies) + 1)
    return {"generated_tokens": samples.generated_tokens, "replies": replies}


def afford(
    state: LoopState,
    context: Context,
    wanted: int,
    *,
    each: int,
    beside: int = 0,
    least: int = 1,
    candidates: bool = False,
) -> int:
    """How much of a piece of work the budget has room for.

    Replies are taken to be as long as they may become, and to cost as many minutes as those before.

    Args:
        wanted: units of the work, as many as would be done with room enough.
        each: replies that the student gives for a unit.
        beside: replies that come in any case, or have to stay possible.
        least: units below which the work is not worth doing.
        candidates: whether a unit is a candidate of the search, which leaves one more for the look
            that accepts or refuses.

    Raises:
        OutOfBudget: there is room for fewer than ``least`` units.
    """
    budget, spent = context.settings.budget, spent_in_all(state, context)
    minutes = spent.minutes / spent.replies if spent.replies else 0.0

    def shortage(units: int) -> str | None:
        replies = beside + each * units
        return budget.exceeded(
            spent.plus(
                candidates=units + 1 if candidates else 0,
                generated_tokens=replies * context.settings.max_new_tokens,
                minutes=replies * minutes,
            )
        )

    missing = shortage(least)
    if missing is not None:
        raise OutOfBudget(missing)
    return next(units for units in range(max(wanted, least), 0, -1) if shortage(units) is None)
