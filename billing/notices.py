"""Mails about money, to those who may pay: owners, admins and billing members."""

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import Organisation, Role, User
from billing.models import Dispute, TopUp
from portal.lib.money import format_dollars

PAYERS = (Role.OWNER, Role.ADMIN, Role.BILLING)


def top_up_failed(top_up: TopUp, state: str) -> None:
    """In the transaction that notes it: a saved card was refused, and what happens now."""
    subject = _("A top-up of %(amount)s did not go through") % {
        "amount": format_dollars(top_up.amount_nanos)
    }
    send_to_payers(top_up.organisation, subject, "top_up_failed", top_up=top_up, state=state)


def payment_disputed(dispute: Dispute) -> None:
    """A payer's bank took a payment back: the organisation is suspended."""
    organisation = dispute.top_up.organisation
    subject = _("A payment of %(amount)s is disputed") % {
        "amount": format_dollars(dispute.amount_nanos)
    }
    send_to_payers(organisation, subject, "payment_disputed", dispute=dispute)


def send_to_payers(organisation: Organisation, subject: str, name: str, **more: object) -> None:
    """Send the mail `name` of templates/billing/email, which may show `more`."""
    context = {
        **more,
        "organisation": organisation,
        "address": f"{settings.BASE_URL}{reverse('billing')}",
        "SITE_NAME": settings.SITE_NAME,
        "BASE_URL": settings.BASE_URL,
    }
    payers = User.objects.filter(
        memberships__organisation=organisation, memberships__role__in=PAYERS
    )
    # A mail each: members need not know each other's addresses.
    for email in payers.order_by("pk").values_list("email", flat=True):
        text = render_to_string(f"billing/email/{name}.txt", context)
        message = EmailMultiAlternatives(subject, text, to=[email])
        html = render_to_string(f"billing/email/{name}.html", context)
        message.attach_alternative(html, "text/html")
        message.send()
