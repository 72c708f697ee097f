"""What the frame of a page asks: its own address, its menus, its forms' tokens, who looks at it.

A builtin, so never loaded.
"""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django import template
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.base import Parser, Token
from django.template.context import Context
from django.template.defaulttags import CsrfTokenNode
from django.urls import resolve, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts import invitations
from accounts.models import Invitation, Organisation
from accounts.permissions import PAGE_OF
from billing.models import Account

register = template.Library()


class FormTokens(CsrfTokenNode):
    def render(self, context: Context) -> str:
        """Django's own token; in a form of a member's page, beside it whose page it is."""
        page_of = getattr(context.get("request"), "page_of", None)
        if page_of is None:
            return super().render(context)
        whose = format_html('<input type="hidden" name="{}" value="{}">', PAGE_OF, page_of)
        return super().render(context) + whose


@register.tag
def csrf_token(_parser: Parser, _token: Token) -> FormTokens:
    return FormTokens()


@register.simple_tag
def organisation_balance(organisation: Any) -> int:
    """Nanos the organisation may still spend: posted minus pending."""
    account = Account.objects.filter(organisation=organisation).first() if organisation else None
    return account.balance_nanos if account else 0


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """This page's query string with `changes`; None takes a field away, and `page` with it."""
    request: HttpRequest = context["request"]
    fields = request.GET.copy()
    if "page" not in changes:
        fields.pop("page", None)
    for name, value in changes.items():
        if value is None or value == "":
            fields.pop(name, None)
        else:
            fields[name] = str(value)
    return f"?{fields.urlencode()}"


@register.simple_tag(takes_context=True)
def this_page(context: dict[str, Any]) -> str:
    """What leads back to what the visitor sees: of a refused form the page that it stands on."""
    request: HttpRequest | None = context.get("request")
    if request is None:  # a page that tells of a failure may have none
        return "/"
    if request.method in {"GET", "HEAD"}:
        return request.get_full_path()
    referer = urlsplit(request.headers.get("Referer", ""))
    return urlunsplit(("", "", referer.path or "/", referer.query, ""))


class Link:
    """One entry of a menu."""

    def __init__(self, label: str, icon: str, address: str, *, current: bool) -> None:
        self.label = label
        self.icon = icon
        self.address = address
        self.current = current


@register.simple_tag(takes_context=True)
def portal_links(context: dict[str, Any]) -> list[Link]:
    """The portal's menu, as far as this member's role goes.

    The entry whose address is the longest start of this one is current.
    """
    entries = [
        ("overview", _("Overview"), "home"),
        ("playground", _("Playground"), "play"),
        ("keys", _("API keys"), "key"),
        ("usage", pgettext("what was used", "Usage"), "chart"),
        ("requests", _("Requests"), "list"),
        ("billing", _("Billing"), "card"),
        ("limits", _("Limits"), "shield"),
        ("members", _("Members"), "people"),
        ("settings", _("Settings"), "gear"),
    ]
    seen = [entry for entry in entries if may_see(context, reverse(entry[0]))]
    return links(seen, context["request"].path)


@register.simple_tag(takes_context=True)
def site_links(context: dict[str, Any]) -> list[Link]:
    """The public pages' menu."""
    entries = [
        ("models", _("Models"), ""),
        ("docs", _("Docs"), ""),
        ("playground", _("Playground"), ""),
        ("status", _("Status"), ""),
    ]
    request = context.get("request")
    return links(entries, request.path if request else "")


@register.simple_tag(takes_context=True)
def account_links(context: dict[str, Any]) -> list[Link]:
    """What a person sets for themselves, beside what their organisations own."""
    entries = [
        ("account_email", _("Email"), ""),
        ("account_change_password", _("Password"), ""),
        ("mfa_index", _("Two-factor"), ""),
        ("usersessions_list", _("Sessions"), ""),
    ]
    if any("socialaccount.providers" in app for app in settings.INSTALLED_APPS):
        entries.append(("socialaccount_connections", _("Connections"), ""))
    return links(entries, context["request"].path)


def links(entries: list[tuple[str, str, str]], path: str) -> list[Link]:
    found = [(label, icon, reverse(name)) for name, label, icon in entries]
    matches = [address for _label, _icon, address in found if path.startswith(address)]
    current = max(matches, key=len, default="")
    return [
        Link(label, icon, address, current=address == current) for label, icon, address in found
    ]


@register.simple_tag(takes_context=True)
def address_if_allowed(context: dict[str, Any], name: str) -> str:
    """The address of a page, or nothing where it would refuse this member."""
    address = reverse(name)
    return address if may_see(context, address) else ""


def may_see(context: dict[str, Any], address: str) -> bool:
    """Whether the page would refuse this member; who is none yet is led there to sign in."""
    membership = getattr(context.get("request"), "membership", None)
    if not membership:
        return True
    roles = getattr(resolve(address).func, "roles", ())
    return not roles or membership.role in roles


@register.simple_tag(takes_context=True)
def organisation_choices(context: dict[str, Any]) -> QuerySet[Organisation]:
    """The organisations the visitor belongs to."""
    return Organisation.objects.filter(members=context["request"].user).order_by("name")


@register.simple_tag(takes_context=True)
def followed_invitation(context: dict[str, Any]) -> Invitation | None:
    """The open invitation that brought this visitor to the door."""
    return invitations.followed(context["request"])
