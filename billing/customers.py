"""An organisation's customer at Stripe, and its saved card.

Guarantees: one customer an organisation, and a new one in the place of one that somebody deleted in
Stripe's dashboard, once it is needed; the row's card is the one Stripe would charge, asked for
again whenever Stripe says that something changed.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db.models import Q

from accounts.models import Organisation
from billing import stripe_api
from billing.models import StripeCustomer
from billing.stripe_objects import CheckoutSession

T = TypeVar("T")


def customer_of(organisation: Organisation) -> StripeCustomer:
    """Made when there is none. Raises StripeUnavailable."""
    known = StripeCustomer.objects.filter(organisation=organisation).first()
    if known is not None:
        return known
    customer_id = stripe_api.create_customer(organisation.id)
    stripe_api.name_customer(customer_id, organisation.name)
    customer, _created = StripeCustomer.objects.get_or_create(
        organisation=organisation, defaults={"customer_id": customer_id}
    )
    return customer


def with_customer(organisation: Organisation, call: Callable[[str], T]) -> T:
    """What `call` answers for the customer's id. Raises StripeUnavailable."""
    customer_id = customer_of(organisation).customer_id
    try:
        return call(customer_id)
    except stripe_api.CustomerGone:
        return call(_replace(organisation, customer_id))


def _replace(organisation: Organisation, gone_id: str) -> str:
    """The id of a new customer; its card went with the old one."""
    customer_id = stripe_api.create_customer(organisation.id, instead_of=gone_id)
    stripe_api.name_customer(customer_id, organisation.name)
    StripeCustomer.objects.filter(organisation=organisation, customer_id=gone_id).update(
        customer_id=customer_id, payment_method_id="", card_brand="", card_last4="",
        card_expires="", card_asked_at=None,
    )  # fmt: skip
    return customer_of(organisation).customer_id


def keep_card(session: CheckoutSession) -> StripeCustomer | None:
    """Take the card that a finished page has saved; None when a later page has saved another."""
    customers = StripeCustomer.objects.filter(customer_id=session.customer_id)
    newer = Q(card_asked_at=None) | Q(card_asked_at__lte=session.created_at)
    if not customers.filter(newer).exists():
        return None
    if not stripe_api.make_default(session.setup_intent_id, session.customer_id):
        return None
    customers.filter(newer).update(card_asked_at=session.created_at)
    refresh(session.customer_id)
    return customers.get()


def refresh(customer_id: str) -> None:
    """Ask Stripe for the card that it would charge."""
    customers = StripeCustomer.objects.filter(customer_id=customer_id)
    if not customers.exists():
        return
    card = stripe_api.default_card(customer_id)
    customers.update(
        payment_method_id=card.method_id if card else "",
        card_brand=card.brand if card else "",
        card_last4=card.last4 if card else "",
        card_expires=card.expires if card else "",
    )


def refresh_card(method_id: str) -> None:
    """The same, where only the card is known."""
    for customer in StripeCustomer.objects.filter(payment_method_id=method_id):
        refresh(customer.customer_id)
