"""Sentences that the page's modules say; `{names}` in them are filled in by the browser."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Texts = dict[str, str | Promise]

CONVERSATION: Texts = {
    "user": _("User"),
    "assistant": _("Assistant"),
    "tool": _("Tool"),
    "pane": _("Pane"),
    "connecting": _("Connecting …"),
    "ready": "",
    "lost": _("The connection was lost. Trying again …"),
    "turned-away": _("You are no longer signed in."),
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
        "The connection was lost and none of this answer was saved. "
        "Requests shows whether it was billed."
    ),
    "lost_before": _(
        "The connection was lost before the answer began. If it did begin unseen, "
        "Requests shows it."
    ),
    "too_long": _(
        "This is too long to send: it is {size} KiB with all messages, and the limit is {most} KiB."
    ),
    "conversation_gone": _(
        "This conversation no longer exists. Run again to start a new one with what is on the page."
    ),
    "branched": _(
        "This conversation has received another answer meanwhile, perhaps from another tab. It "
        "stays as it is: what you see here is kept as a conversation of its own."
    ),
    "organisation_changed": _(
        "You switched to another organisation. Reload the page before you go on."
    ),
    "finish_stop": _("end of the answer"),
    "finish_length": _("length limit"),
    "finish_tool_calls": _("call of a tool"),
    "finish_aborted": _("stopped"),
    "finish_failed": _("interrupted"),
}
FIELDS: Texts = {
    "random": _("random"),
    "wrong_number": _("This is not a number."),
    "wrong_integer": _("This must be a whole number."),
    "wrong_range": _("This must be between {low} and {high}."),
    "wrong_lines": _("At most four lines of 256 characters."),
    "wrong_json": _("Not JSON: line {line}, column {column}."),
    "wrong_object": _("This must be a JSON object."),
    "wrong_empty": _("This must not be empty."),
    "wrong_type": _("“type” must be a name or a list of names."),
    "wrong_properties": _("“properties” must be an object."),
    "wrong_required": _("“required” must be a list of names."),
    "wrong_enum": _("“enum” must be a list."),
    "wrong_arguments": _("The arguments of a tool are always of the type “object”."),
    "wrong_name": _("A name has 1 to 64 letters, digits, “_” or “-”."),
    "wrong_twice": _("Another tool has this name."),
}
ACTIONS: Texts = {
    "no_message": _("Write a message first."),
    "not_loaded": _("This did not work. Please try again, or reload the page."),
    "nothing_to_share": _("There is no answer yet. Run something first."),
    "version": _("Version"),
    "delete": _("Delete"),
    "delete_conversation": _("Delete “{title}” and its links for good?"),
    "not_deleted": _("This could not be deleted. Please try again, or reload the page."),
    "delete_preset": _("Delete “{name}” with all its versions?"),
    "replace": _("Replace"),
    "replace_written": _("Replace what you have written? It is not saved anywhere else."),
    "drop": _("Start over"),
    "drop_written": _("Start over without what you have written? It is not saved anywhere else."),
    "close": _("Close"),
    "close_written": _("Close this pane? What you have written in it is not saved anywhere else."),
    "run_again": _("Run again"),
    "drop_following": _("Run again from here? All later messages will be deleted."),
    "model_gone": _("The model “{model}” is not available. “{other}” is selected instead."),
    "withdraw": _("Withdraw"),
    "withdraw_link": _("Withdraw this link? Anyone who has it will find nothing there."),
    "mode": _("Mode"),
    "model": _("Model"),
    "preset": _("Preset"),
    "history": _("History"),
    "do_run": _("Run"),
    "do_stop": _("Stop"),
    "do_new": _("New chat"),
    "do_compare": _("Compare: one more pane"),
    "do_code": _("View code"),
    "do_presets": _("Presets: save or open"),
    "do_share": _("Share this conversation"),
    "do_search": _("Search the history"),
    "do_keys": _("List the keys"),
    "price": _("{input} in · {cached} cached · {output} out per million tokens"),
}


def page_texts() -> dict[str, str]:
    """All of them, in the reader's language."""
    return {name: str(text) for name, text in (CONVERSATION | FIELDS | ACTIONS).items()}
