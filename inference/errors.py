"""Everything that `inference.service` refuses or breaks off, as one exception.

The names are OpenAI's where OpenAI has one; the REST surface and the playground turn the same
exception into their own wire formats.
"""

import math
from collections.abc import Mapping

from django.conf import settings
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from billing import ledger
from inference.sentences import Sentence, Text
from inference.spec import Summary
from portal.lib.money import format_dollars, format_plain

# Not `reverse`: that would import every page of the site into the first refusal.
TOP_UP_PATH = "/portal/billing/"
# By whose cap it is: how the sentence begins, and the page where it is changed.
CAPS = {
    "key": (_("This key's monthly cap of %(cap)s does not allow this:"), "/portal/keys/"),
    "organisation": (
        _("Your organisation's monthly cap of %(cap)s does not allow this:"),
        "/portal/billing/",
    ),
}
TOP_UP_AT = _("Top up at %(url)s")
# By what it is that requests on their way have reserved.
RESERVED = {
    "credit": _(
        "%(pending)s of your credit is reserved by requests that have just ended, and %(free)s is "
        "free. Please try again."
    ),
    "monthly cap": _(
        "%(pending)s of your monthly cap is reserved by requests that have just ended, and "
        "%(free)s is free. Please try again."
    ),
}
dollars = lazy(format_dollars, str)  # its sign is that of the reader's language


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
        message: Text | Sentence,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self._message = message
        self.param = param
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        self.summary: Summary | None = None

    @property
    def message(self) -> str:
        """The sentence, in the language of whoever reads it now."""
        return str(self._message)


def invalid(message: Text | Sentence, param: str | None, code: str | None = None) -> ServiceError:
    return ServiceError(400, "invalid_request_error", code, message, param)


def model_not_found(name: str) -> ServiceError:
    message = Sentence(
        _("The model %(name)r does not exist, or this key may not use it."), name=name[:200]
    )
    return ServiceError(404, "invalid_request_error", "model_not_found", message, "model")


def model_not_allowed(name: str) -> ServiceError:
    message = Sentence(_("This key may not use the model %(name)r."), name=name[:200])
    return ServiceError(403, "invalid_request_error", "model_not_allowed", message, "model")


def wrong_kind(name: str, instead: str) -> ServiceError:
    """The model does something else than the endpoint."""
    message = Sentence(
        _("The model %(name)r does not do this; it is called by %(instead)s."),
        name=name[:200], instead=instead,
    )  # fmt: skip
    return ServiceError(400, "invalid_request_error", "wrong_kind_of_model", message, "model")


def context_too_long(
    *, num_prompt: int, max_tokens: int | None, limit: int, param: str, limit_param: str
) -> ServiceError:
    """`param` is the prompt's field; `limit_param` is named when the prompt alone would fit.

    In the words that OpenAI uses, with plain numbers: libraries know this error by them alone.
    """
    message = Sentence(
        _("This model's maximum context length is %(limit)s tokens, prompt and output together."),
        limit=limit,
    )
    if num_prompt < limit and max_tokens is not None:
        param = limit_param
        message.then(
            _(
                "You asked for %(num_prompt)s tokens of prompt and %(field)s of %(max_tokens)s. "
                "Please lower %(field)s or shorten the prompt."
            ),
            num_prompt=num_prompt, field=limit_param, max_tokens=max_tokens,
        )  # fmt: skip
    else:
        message.then(
            _(
                "Input tokens exceed the configured limit: your prompt has %(num_prompt)s. "
                "Please shorten it."
            ),
            num_prompt=num_prompt,
        )
    return ServiceError(400, "invalid_request_error", "context_length_exceeded", message, param)


def text_too_long(*, num_bytes: int, most: int, limit: int, param: str) -> ServiceError:
    """It is not even encoded. `limit` is the model's context, in OpenAI's words as above."""
    message = Sentence(
        _(
            "This model's maximum context length is %(limit)s tokens: a text may have at most "
            "%(most)s bytes, and yours has %(num_bytes)s. Please shorten or split it."
        ),
        limit=limit, most=most, num_bytes=num_bytes,
    )  # fmt: skip
    return ServiceError(400, "invalid_request_error", "context_length_exceeded", message, param)


def overloaded(message: Text | Sentence, retry_after_s: float = 2.0) -> ServiceError:
    return ServiceError(503, "overloaded", "overloaded", message, None, retry_after(retry_after_s))


def engine_silent() -> ServiceError:
    return overloaded(_("The engine does not answer at the moment."))


def out_of_time(*, begun: bool) -> ServiceError:
    """The deadline of every request has passed: 504 in the middle of an answer, 503 before it."""
    deadline_s = f"{settings.REQUEST_DEADLINE_S:,}"
    if not begun:
        waited = _("This request waited for %(deadline)s seconds and was given up.")
        return overloaded(Sentence(waited, deadline=deadline_s), 30.0)
    unfinished = _(
        "This answer was not finished within %(deadline)s seconds; try a smaller max_tokens."
    )
    message = Sentence(unfinished, deadline=deadline_s)
    headers = {"x-should-retry": "false"}  # it would take as long again
    return ServiceError(504, "server_error", "deadline_exceeded", message, None, headers)


def engine_lost() -> ServiceError:
    message = _("The engine that served this request was lost. You are not charged for it.")
    return ServiceError(503, "server_error", "engine_lost", message, None, retry_after(2.0))


def accounting_unavailable() -> ServiceError:
    message = _("The ledger cannot be reached, so nothing can be served. Please try again.")
    headers = retry_after(2.0)
    return ServiceError(503, "server_error", "accounting_unavailable", message, None, headers)


def insufficient_credit(
    *,
    available_nanos: int,
    pending_nanos: int,
    ceiling_nanos: int,
    max_tokens: int,
    limit_param: str,
) -> ServiceError:
    """402: this request could cost more than the credit that is left; `max_tokens` would fit."""
    details: dict[str, str | int] = {
        "balance": format_plain(available_nanos),
        "ceiling": format_plain(ceiling_nanos),
        "top_up_url": top_up_url(),
    }
    message = Sentence(
        _("Not enough credit: this request may cost up to %(ceiling)s, and %(left)s is left."),
        ceiling=dollars(ceiling_nanos), left=dollars(available_nanos),
    )  # fmt: skip
    if pending_nanos:
        reserved = _("%(pending)s more is reserved by running requests.")
        message.then(reserved, pending=dollars(pending_nanos))
    if max_tokens:  # none at all would be no answer
        details["max_tokens"] = max_tokens
        would_fit = _("It would fit with %(field)s of %(max_tokens)s.")
        message.then(would_fit, field=limit_param, max_tokens=f"{max_tokens:,}")
    message.then(TOP_UP_AT, url=top_up_url())
    headers = {"x-credit-remaining": format_plain(available_nanos)}
    return ServiceError(
        402, "insufficient_quota", "insufficient_quota", message, limit_param, headers, details
    )


def credit_reserved(
    *, of: str = "credit", available_nanos: int, pending_nanos: int
) -> ServiceError:
    """429: the money is there, but running requests hold it; a retry will find it."""
    message = Sentence(RESERVED[of], pending=dollars(pending_nanos), free=dollars(available_nanos))
    headers = retry_after(1.0)
    if of == "credit":
        headers["x-credit-remaining"] = format_plain(available_nanos)
    return ServiceError(429, "rate_limit_error", "credit_reserved", message, None, headers)


def credit_used_up() -> ServiceError:
    """The hold could not be extended while decoding."""
    message = Sentence(_("Your credit ran out before this answer was finished."))
    message.then(TOP_UP_AT, url=top_up_url())
    details = {"top_up_url": top_up_url()}
    return ServiceError(
        402, "insufficient_quota", "insufficient_quota", message, None, None, details
    )


def spend_cap_reached(reached: ledger.CapReached, ceiling_nanos: int) -> ServiceError:
    """402: the customer's own cap; `ceiling_nanos` is what this request would have held."""
    whose, path = CAPS[reached.whose]
    message = Sentence(whose, cap=dollars(reached.cap_nanos))
    if reached.pending_nanos:
        message.then(
            _(
                "the request may cost up to %(ceiling)s, and this month %(spent)s is spent and "
                "%(held)s held by running requests."
            ),
            ceiling=dollars(ceiling_nanos), spent=dollars(reached.spent_nanos),
            held=dollars(reached.pending_nanos),
        )  # fmt: skip
    else:
        message.then(
            _("the request may cost up to %(ceiling)s, and this month %(spent)s is spent."),
            ceiling=dollars(ceiling_nanos), spent=dollars(reached.spent_nanos),
        )  # fmt: skip
    message.then(_("The cap can be changed at %(url)s"), url=f"{settings.BASE_URL}{path}")
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
    message = _("The key or the session that started this request is no longer valid.")
    return ServiceError(401, "invalid_request_error", "access_withdrawn", message)


def failed_in_engine(message: Text, request_id: str) -> ServiceError:
    """500: `message` is the engine's; the id is what support asks for."""
    told = Sentence(message).then(_("The id of this request is %(id)s."), id=request_id)
    return ServiceError(500, "server_error", "engine_error", told)


def crashed(request_id: str) -> ServiceError:
    """500: a mistake of ours; the id is what support asks for."""
    message = Sentence(
        _("Something went wrong on our side; this request is free. Its id is %(id)s."),
        id=request_id,
    )
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
