"""Whether Stripe refused, or only did not answer: then it helps to try again."""

import logging

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from billing.stripe_api import StripeUnavailable

logger = logging.getLogger(__name__)


def log(path: str, error: StripeUnavailable) -> None:
    """Write a refusal's reason down: it is the operator's, and may name what is theirs."""
    if error.refused:
        logger.error("Stripe refuses %s: %s", path, error)


def tell(request: HttpRequest, error: StripeUnavailable, otherwise: str) -> None:
    """Say so on the page, and in the log; `otherwise` where it did not answer."""
    log(request.path, error)
    if error.refused:
        otherwise = _("Stripe refused this, so nothing was done; please tell the operator.")
    messages.error(request, otherwise)
