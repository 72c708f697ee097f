"""Mails about money, to those who may pay: owners, admins and billing members."""

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from accounts import mail
from accounts.models import Organisation, Role, User
from billing.models import Dispute, TopUp
from portal.lib.money import NANOS_PER_CENT

PAYERS = (Role.OWNER, Role.ADMIN, Role.BILLING)


def top_up_failed(top_up: TopUp, state: str) -> None:
    """In the transaction that notes it: a saved card was refused, and what happens now."""
    send_to_payers(top_up.organisation, "top_up_failed", top_up=top_up, state=state)


def payment_disputed(dispute: Dispute) -> None:
    """A payer's bank took a payment back: the organisation is suspended."""
    send_to_payers(dispute.top_up.organisation, "payment_disputed", dispute=dispute)


def invoice_failed(organisation: Organisation, amount_cents: int, invoice: str) -> None:
    """Stripe could not collect an invoice; `invoice` is the address of its page."""
    amount_nanos = amount_cents * NANOS_PER_CENT
    send_to_payers(organisation, "invoice_failed", amount_nanos=amount_nanos, invoice=invoice)


def send_to_payers(organisation: Organisation, name: str, **more: object) -> None:
    """Send the mail `name` of templates/billing/email, to each payer in their own language.

    Its three templates (`NAME_subject.txt`, `NAME.txt`, `NAME.html`) may show `more`.
    """
    context = {
        **more,
        "organisation": organisation,
        "address": f"{settings.BASE_URL}{reverse('billing')}",
        **mail.signature(),
    }
    payers = User.objects.filter(
        memberships__organisation=organisation, memberships__role__in=PAYERS
    )
    # A mail each: members need not know each other's addresses.
    for email, language in payers.order_by("pk").values_list("email", "language"):
        with translation.override(language):
            _message(email, f"billing/email/{name}", context).send()


def _message(email: str, prefix: str, context: dict[str, object]) -> EmailMultiAlternatives:
    # A name in the subject may hold what would end the header.
    subject = " ".join(render_to_string(f"{prefix}_subject.txt", context).split())
    text = render_to_string(f"{prefix}.txt", context)
    message = EmailMultiAlternatives(subject, text, to=[email])
    message.attach_alternative(render_to_string(f"{prefix}.html", context), "text/html")
    return message
