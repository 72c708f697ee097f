"""Everything that `inference.service` refuses or breaks off, as one exception.

The names are OpenAI's where OpenAI has one; the REST surface and the playground turn the same
exception into their own wire formats.
"""

import math
from collections.abc import Mapping

from django.conf import settings

from billing import ledger
from inference.spec import Summary
from portal.lib.money import format_dollars, format_plain

# Not `reverse`: that would import every page of the site into the first refusal.
TOP_UP_PATH = "/portal/billing/"
# Whose cap it is, and where it is changed.
CAPS = {
    "key": ("This key's", "/portal/keys/"),
    "organisation": ("Your organisation's", "/portal/billing/"),
}


class ServiceError(Exception):
    """A refusal, or the reason why a generation was broken off.

    `details` are facts for programs, beside the sentence for people. `summary` is there when the
    generation had begun: it is settled then.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 (the name in the envelope)
        code: str | None,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        self.summary: Summary | None = None


def invalid(message: str, param: str | None, code: str | None = None) -> ServiceError:
    return ServiceError(400, "invalid_request_error", code, message, param)


def model_not_found(name: str) -> ServiceError:
    message = f"The model {name[:200]!r} does not exist, or this key may not use it."
    return ServiceError(404, "invalid_request_error", "model_not_found", message, "model")


def model_not_allowed(name: str) -> ServiceError:
    message = f"This key may not use the model {name[:200]!r}."
    return ServiceError(403, "invalid_request_error", "model_not_allowed", message, "model")


def wrong_kind(name: str, instead: str) -> ServiceError:
    """The model does something else than the endpoint."""
    message = f"The model {name[:200]!r} does not do this; it is called by {instead}."
    return ServiceError(400, "invalid_request_error", "wrong_kind_of_model", message, "model")


def context_too_long(
    *, num_prompt: int, max_tokens: int | None, limit: int, param: str, limit_param: str
) -> ServiceError:
    """`param` is the prompt's field; `limit_param` is named when the prompt alone would fit.

    In the words that OpenAI uses, with plain numbers: libraries know this error by them alone.
    """
    message = f"This model's maximum context length is {limit} tokens, prompt and output together. "
    if num_prompt < limit and max_tokens is not None:
        param = limit_param
        message += (
            f"You asked for {num_prompt} tokens of prompt and {limit_param} of {max_tokens}. "
            f"Please lower {limit_param} or shorten the prompt."
        )
    else:
        message += (
            f"Input tokens exceed the configured limit: your prompt has {num_prompt}. "
            "Please shorten it."
        )
    return ServiceError(400, "invalid_request_error", "context_length_exceeded", message, param)


def overloaded(message: str, retry_after_s: float = 2.0) -> ServiceError:
    return ServiceError(503, "overloaded", "overloaded", message, None, retry_after(retry_after_s))


def engine_silent() -> ServiceError:
    return overloaded("The engine does not answer at the moment.")


def out_of_time(*, begun: bool) -> ServiceError:
    """The deadline of every request has passed: 504 in the middle of an answer, 503 before it."""
    deadline = f"{settings.REQUEST_DEADLINE_S:,} seconds"
    if not begun:
        return overloaded(f"This request waited for {deadline} and was given up.", 30.0)
    message = f"This answer was not finished within {deadline}; try a smaller max_tokens."
    headers = {"x-should-retry": "false"}  # it would take as long again
    return ServiceError(504, "server_error", "deadline_exceeded", message, None, headers)


def engine_lost() -> ServiceError:
    message = "The engine that served this request was lost. You are not charged for it."
    return ServiceError(503, "server_error", "engine_lost", message, None, retry_after(2.0))


def accounting_unavailable() -> ServiceError:
    message = "The ledger cannot be reached, so that nothing can be served. Please try again."
    headers = retry_after(2.0)
    return ServiceError(503, "server_error", "accounting_unavailable", message, None, headers)


def insufficient_credit(
    *,
    available_nanos: int,
    pending_nanos: int,
    ceiling_nanos: int,
    max_tokens: int | None,
    limit_param: str,
) -> ServiceError:
    """402: this request could cost more than the credit that is left; `max_tokens` would fit."""
    details: dict[str, str | int] = {
        "balance": format_plain(available_nanos),
        "ceiling": format_plain(ceiling_nanos),
        "top_up_url": top_up_url(),
    }
    message = (
        f"Not enough credit: this request may cost up to {format_dollars(ceiling_nanos)}, "
        f"and {format_dollars(available_nanos)} is left."
    )
    if pending_nanos:
        message += f" {format_dollars(pending_nanos)} more is reserved by requests that run."
    if max_tokens:  # none at all would be no answer
        details["max_tokens"] = max_tokens
        message += f" It would fit with {limit_param} of {max_tokens:,}."
    message += f" Top up at {top_up_url()}"
    headers = {"x-credit-remaining": format_plain(available_nanos)}
    return ServiceError(
        402, "insufficient_quota", "insufficient_quota", message, limit_param, headers, details
    )


def credit_reserved(
    *, of: str = "credit", available_nanos: int, pending_nanos: int
) -> ServiceError:
    """429: the money is there, but running requests hold it; a retry will find it."""
    message = (
        f"{format_dollars(pending_nanos)} of your {of} is reserved by requests that have just "
        f"ended, and {format_dollars(available_nanos)} is free. Please try again."
    )
    headers = retry_after(1.0)
    if of == "credit":
        headers["x-credit-remaining"] = format_plain(available_nanos)
    return ServiceError(429, "rate_limit_error", "credit_reserved", message, None, headers)


def credit_used_up() -> ServiceError:
    """The hold could not be extended while decoding."""
    message = f"Your credit ran out while this answer was made. Top up at {top_up_url()}"
    details = {"top_up_url": top_up_url()}
    return ServiceError(
        402, "insufficient_quota", "insufficient_quota", message, None, None, details
    )


def spend_cap_reached(reached: ledger.CapReached, ceiling_nanos: int) -> ServiceError:
    """402: the customer's own cap; `ceiling_nanos` is what this request would have held."""
    subject, path = CAPS[reached.whose]
    message = (
        f"{subject} monthly cap of {format_dollars(reached.cap_nanos)} does not allow this: the "
        f"request may cost up to {format_dollars(ceiling_nanos)}, and this month "
        f"{format_dollars(reached.spent_nanos)} is spent"
    )
    if reached.pending_nanos:
        message += f" and {format_dollars(reached.pending_nanos)} held by requests that run"
    message += f". The cap can be changed at {settings.BASE_URL}{path}"
    details = {
        "cap_of": reached.whose,
        "cap": format_plain(reached.cap_nanos),
        "spent": format_plain(reached.spent_nanos),
        "held": format_plain(reached.pending_nanos),
        "ceiling": format_plain(ceiling_nanos),
    }
    return ServiceError(
        402, "insufficient_quota", "spend_cap_reached", message, None, None, details
    )


def access_withdrawn() -> ServiceError:
    message = "The key or the session that started this request is no longer valid."
    return ServiceError(401, "invalid_request_error", "access_withdrawn", message)


def failed_in_engine(message: str) -> ServiceError:
    return ServiceError(500, "server_error", "engine_error", message)


def crashed(request_id: str) -> ServiceError:
    """500: a mistake of ours; the id is what support asks for."""
    message = f"Something went wrong on our side; this request is free. Its id is {request_id}."
    return ServiceError(500, "server_error", "internal_error", message)


def top_up_url() -> str:
    return f"{settings.BASE_URL}{TOP_UP_PATH}"


def retry_after(seconds: float) -> dict[str, str]:
    """Both headers SDKs read: whole seconds rounded up, and milliseconds."""
    seconds = max(seconds, 0.001)
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }
