"""Sentences that the page's modules say; `{names}` in them are filled in by the browser."""

from django.utils.translation import gettext as _


def page_texts() -> dict[str, str]:
    return {
        "user": _("User"),
        "assistant": _("Assistant"),
        "connecting": _("Connecting …"),
        "ready": "",
        "lost": _("The connection was lost. Trying again …"),
        "signed-out": _("You are not signed in any more."),
        "sign_in": _("Sign in"),
        "top_up": _("Add credit"),
        "see_requests": _("Requests"),
        "answering": _("The model is answering."),
        "answered": _("Answer: {text}"),
        "stopped": _("Stopped. What came until then is billed, nothing after it."),
        "lost_running": _(
            "The connection was lost, so the server stopped here. Waiting to hear what it billed …"
        ),
        "lost_found": _(
            "The connection was lost and the answer stopped here. The numbers below are the bill."
        ),
        "lost_unknown": _(
            "The connection was lost and nothing was saved of this answer. "
            "Whether it was billed stands under Requests."
        ),
        "lost_before": _(
            "The connection was lost before the answer began. Had it begun unseen, "
            "it would stand under Requests."
        ),
        "organisation_changed": _(
            "You switched to another organisation. Load the page again before you go on."
        ),
        "finish_stop": _("end of the answer"),
        "finish_length": _("length limit"),
        "finish_aborted": _("stopped"),
        "finish_failed": _("broken off"),
        "random": _("random"),
        "wrong_number": _("This is not a number."),
        "wrong_integer": _("This must be a whole number."),
        "wrong_range": _("This must be between {low} and {high}."),
        "wrong_lines": _("At most four lines of 256 characters."),
        "no_message": _("Write a message first."),
        "not_loaded": _("This could not be loaded. Please try again."),
        "price": _("{input} in · {cached} cached · {output} out per million tokens"),
    }
