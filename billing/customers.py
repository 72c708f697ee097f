"""An organisation's customer at Stripe, and its saved card.

Guarantees: one customer an organisation; the row's card is the one Stripe would charge, asked for
again whenever Stripe says that something changed.
"""

from django.db.models import Q

from accounts.models import Organisation
from billing import stripe_api
from billing.models import StripeCustomer
from billing.stripe_objects import CheckoutSession


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
