"""Whether Stripe refused, or only did not answer: then it helps to try again."""

import logging

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from billing.stripe_api import StripeUnavailable

logger = logging.getLogger(__name__)


def is_refusal(path: str, error: StripeUnavailable) -> bool:
    """The log has its reason: it is the operator's, and may name what is theirs."""
    if error.refused:
        logger.error("Stripe refuses %s: %s", path, error)
    return error.refused


def tell(request: HttpRequest, error: StripeUnavailable, otherwise: str) -> None:
    """Say so on the page; `otherwise` where it did not answer."""
    if is_refusal(request.path, error):
        otherwise = _("Stripe refuses this, so nothing was done; please tell the operator.")
    messages.error(request, otherwise)
