"""The mail that carries an invitation."""

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from accounts.models import Invitation


def send_invitation(invitation: Invitation, address: str) -> None:
    """Store the mail; a task delivers it."""
    context = {
        "invitation": invitation,
        "address": address,
        "SITE_NAME": settings.SITE_NAME,
        "BASE_URL": settings.BASE_URL,
    }
    subject = _("Join %(organisation)s on %(site)s") % {
        "organisation": " ".join(invitation.organisation.name.split()),
        "site": settings.SITE_NAME,
    }
    message = EmailMultiAlternatives(
        subject, render_to_string("accounts/email/invitation.txt", context), to=[invitation.email]
    )
    message.attach_alternative(
        render_to_string("accounts/email/invitation.html", context), "text/html"
    )
    message.send()
