"""A stateful stand-in for Stripe over HTTP, for tests without a network.

It knows what this product uses: customers with saved cards, Checkout Sessions with a hosted page,
payments off session, refunds, disputes, the customer portal, subscriptions with their invoices,
the meter of usage, lists, idempotency keys and signed
webhooks, which it can send again, late, in another order, or not at all. Answers are shaped as
Stripe's own published examples (reference data); requests are checked against the parameter types
of stripe-python, so that a misspelt field fails here as it would there.
"""

from tests.billing.stripe_double import subscriptions
from tests.billing.stripe_double.parameters import check_parameters, decode
from tests.billing.stripe_double.post import WEBHOOK_SECRET, sign
from tests.billing.stripe_double.server import SECRET_KEY, stripe_double
from tests.billing.stripe_double.state import AUTHENTICATION_CARD, DECLINED_CARD, StripeDouble

__all__ = [
    "AUTHENTICATION_CARD",
    "DECLINED_CARD",
    "SECRET_KEY",
    "WEBHOOK_SECRET",
    "StripeDouble",
    "check_parameters",
    "decode",
    "sign",
    "stripe_double",
    "subscriptions",
]
