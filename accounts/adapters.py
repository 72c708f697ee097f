"""How django-allauth behaves here: who may sign up, and that everybody has an organisation."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.db import transaction
from django.http import Http404, HttpRequest
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import flows, invitations, languages, mail
from accounts.models import User
from accounts.permissions import Refused
from portal.lib import env


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Where sign-up is closed, those who follow an invitation may still come in."""
        return bool(settings.SIGNUP_OPEN) or invitations.followed(request) is not None

    def render_mail(
        self, template_prefix: str, email: str | list[str], context: dict[str, Any], *rest: Any
    ) -> EmailMessage:
        """In the recipient's language, not that of whoever caused the mail; as text and as HTML.

        Subjects are rendered without a request, so without the site's own context.
        """
        named = {"SITE_NAME": settings.SITE_NAME} | context
        named |= {
            name: at_our_address(url) for name, url in context.items() if name.endswith("_url")
        }
        recipient = email if isinstance(email, str) else email[0]
        with translation.override(languages.of_address(recipient)):
            message: EmailMultiAlternatives
            message = super().render_mail(template_prefix, email, named, *rest)
            if not message.alternatives:
                message.attach_alternative(html_of(str(message.body)), "text/html")
        return message

    @transaction.atomic
    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Save the new user together with their organisation: neither exists without the other."""
        user.language = languages.of_visitor()
        user = super().save_user(request, user, form, commit=commit)
        refuse_the_uninvited(request, user)
        if commit:
            flows.ensure_organisation(user)
        return user


def at_our_address(url: str) -> str:
    """A mail's link below BASE_URL, where that is set.

    Else it would lead to whatever host the request named, which whoever causes the mail of somebody
    else chooses among all that are served, with any port: the link is a secret of its reader's.
    """
    if not env.text("BASE_URL"):
        return url
    return urlunsplit((*urlsplit(settings.BASE_URL)[:2], *urlsplit(url)[2:]))


def html_of(text: str) -> str:
    """Of a mail that has no template of its own for it: the text without its signature."""
    context = {"text": text.rpartition("\n--\n")[0], **mail.signature()}
    return render_to_string("emails/from_text.html", context)


class NoSuchProvider(SocialApp.DoesNotExist, Http404):  # type: ignore[misc]
    """A view answers with a 404; a template passes over it, as it does with a row that lacks."""


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    def get_app(self, *args: Any, **kwargs: Any) -> SocialApp:
        """A provider whose row in the console lacks has no page, whoever guesses its address.

        Who came by one that was withdrawn since has the page of their other connections.
        """
        try:
            return super().get_app(*args, **kwargs)
        except SocialApp.DoesNotExist:
            raise NoSuchProvider from None

    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        sociallogin.user.language = languages.of_visitor()
        user: User = super().save_user(request, sociallogin, form)
        refuse_the_uninvited(request, user)
        flows.ensure_organisation(user)
        return user


def refuse_the_uninvited(request: HttpRequest, user: User) -> None:
    """An invitation opens a closed sign-up for the invited address alone."""
    if settings.SIGNUP_OPEN:
        return
    invitation = invitations.followed(request)
    if invitation is None or invitation.email.lower() != user.email.lower():
        raise Refused(_("This invitation is for another email address."))
