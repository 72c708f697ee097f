"""What the codes in a usage record are called: the one place where they get words.

A record keeps the `code` that the client was told, so that support can match the two; pages put
words before it.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# Everything that a request can end with after it was accepted.
ERRORS: dict[str, Promise] = {
    "access_withdrawn": _("The key or the session that started it was revoked meanwhile."),
    "accounting_unavailable": _("Our ledger could not be reached."),
    "deadline_exceeded": _("It was not finished within the server's deadline."),
    "engine_error": _("The engine failed on this request."),
    "engine_lost": _("The engine that served it was lost."),
    "insufficient_quota": _("Your credit ran out before the answer was finished."),
    "internal_error": _("Something went wrong on our side."),
    "overloaded": _("No engine had room for it in time, or the server was shutting down."),
    "settling_refused": _("Our ledger refused to charge it."),
    "spend_cap_reached": _("The monthly cap of its key or of the organisation was reached."),
    "web_process_lost": _("The server that handled it was lost."),
}
FINISH_REASONS: dict[str, Promise] = {
    "stop": _("The model ended it, or a stop sequence came"),
    "length": _("It was cut at max_tokens or at the end of the context"),
}


def of_error(code: str) -> str:
    return str(ERRORS.get(code, _("It was interrupted.")))


def of_finish_reason(code: str) -> str:
    return str(FINISH_REASONS.get(code, ""))


# What a model can do, in the order of the catalogue's names for it.
CAPABILITIES: dict[str, Promise] = {
    "chat.completions": _("chat"),
    "tools": _("tools"),
    "completions": _("completion"),
    "streaming": _("streaming"),
    "logprobs": _("log-probabilities"),
    "structured_output": _("structured output"),
    "embeddings": _("embeddings"),
    "fill_mask": _("masked tokens"),
}

# What of an organisation changes beside the columns of its row.
AUDITED: dict[str, Promise] = {
    "monthly_cap_nanos": _("monthly cap"),
    "auto_top_up.state": _("automatic top-up on or off"),
    "auto_top_up.threshold_cents": _("threshold of the automatic top-up"),
    "auto_top_up.amount_cents": _("amount of the automatic top-up"),
    "auto_top_up.ceiling_cents": _("monthly ceiling of the automatic top-up"),
    "subscription.cancels": _("end of the subscription with its period"),
    "alerts.percentages": _("percentages of the alerts"),
    "alerts.low_balance_nanos": _("low balance of the alerts"),
    "alerts.by_mail": _("alerts by mail"),
    "alerts.webhook_url": _("webhook address of the alerts"),
    "alerts.webhook_secret": _("secret of the alerts"),
}
