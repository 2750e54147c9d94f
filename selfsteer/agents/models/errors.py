"""How a call to a model can end without an answer, told apart by whether it may have been paid."""

from __future__ import annotations

from selfsteer.errors import ControllerError


class ModelUnavailable(ControllerError):
    """A call brought no answer."""


class CallRefused(ModelUnavailable):
    """The call was certainly not paid: it was turned down, or never reached the model.

    Attributes:
        passing: whether the same call may well be taken a little later.
        wait: seconds that the server asks to wait before; None where it does not say.
    """

    def __init__(self, why: str, *, passing: bool = False, wait: float | None = None) -> None:
        super().__init__(why)
        self.passing = passing
        self.wait = wait


class RequestsForbidden(CallRefused):
    """Requests to real services are switched off; nothing left this machine."""


class CallAmbiguous(ModelUnavailable):
    """The call may have been paid although its answer is lost."""


class BatchGone(CallAmbiguous):
    """A batch was accepted, and its answers can be had no more; waiting does not bring them."""


class UnreadableReply(ControllerError):
    """What came back is no reply of the API, or holds no answer of the kind that was asked for."""
