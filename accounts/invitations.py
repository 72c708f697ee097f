"""Invitations on their way: the mail that carries one, and a visitor who follows it."""

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts import flows, languages, mail
from accounts.models import Invitation, Organisation, User
from portal.lib.names import unlinked

FOLLOWED = "invitation_id"  # in the session of somebody who has not signed in yet


@transaction.atomic
def invite(organisation: Organisation, inviter: User | None, email: str, role: str) -> Invitation:
    """Invite by mail. Raises ValueError, in a sentence for who asked."""
    invitation, token = flows.invite(organisation, inviter, email, role)
    _send(invitation, settings.BASE_URL + reverse("invitation", args=[token]))
    return invitation


def _send(invitation: Invitation, address: str) -> None:
    """Store the mail, in the language of the invited where they have an account."""
    context = {
        # Strangers read it, and somebody whom they do not know has chosen it.
        "name": unlinked(invitation.organisation.name),
        "address": address,
        **mail.signature(),
    }
    with translation.override(languages.of_address(invitation.email)):
        subject = _("Join %(organisation)s on %(site)s") % {
            "organisation": " ".join(invitation.organisation.name.split()),
            "site": settings.SITE_NAME,
        }
        text = render_to_string("accounts/email/invitation.txt", context)
        html = render_to_string("accounts/email/invitation.html", context)
    message = EmailMultiAlternatives(subject, text, to=[invitation.email])
    message.attach_alternative(html, "text/html")
    message.send()


def follow(request: HttpRequest, invitation: Invitation) -> None:
    """Remember that this visitor holds the invitation's token."""
    request.session[FOLLOWED] = invitation.pk


def followed(request: HttpRequest) -> Invitation | None:
    """The open invitation that brought this visitor here, if one did."""
    invitation_id = request.session.get(FOLLOWED)
    if invitation_id is None:
        return None
    return Invitation.objects.filter(
        pk=invitation_id, accepted_at=None, expires_at__gt=timezone.now()
    ).first()
