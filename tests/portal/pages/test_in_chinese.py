"""Every page in Chinese, for visitors, members and operators: none of them shows English."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import flows
from accounts.models import Membership, Organisation, Role, User
from tests.conftest import signed_in
from tests.portal.english import english_in
from tests.portal.records import make_payments, make_record

pytestmark = pytest.mark.django_db
# Whose pages of the console show data in English: permissions of groups, names of tables.
LIBRARIES = {"auth", "auditlog", "socialaccount"}


@dataclass(frozen=True)
class Site:
    """A site with something on each page; `values` fill the addresses of what is there."""

    values: dict[str, object]


@pytest.fixture
def site(organisation: Organisation, alice: User, settings: Settings) -> Site:
    settings.STRIPE_SECRET_KEY = "sk_test_x"
    make_payments(organisation)
    record = make_record(organisation)
    key, _secret = flows.create_key(organisation, alice, "K")
    _invitation, token = flows.invite(organisation, alice, "dana@example.com", Role.DEVELOPER)
    today = timezone.now()
    return Site({
        "key_id": key.pk, "request_id": record.request_id, "slug": "quickstart", "name": "starter",
        "form": "md",
        "year": today.year, "month": today.month, "token": token,
        "membership_id": Membership.objects.get(user=alice).pk,
    })  # fmt: skip


def addresses(site: Site) -> Iterator[str]:
    """Every address with a name that is for browsers; the operator's console has its own list."""
    for names, parameters in named(get_resolver()):
        if "admin" in names:
            continue
        yield address_of(":".join(names), [site.values.get(name) for name in parameters])


def address_of(name: str, values: list[object]) -> str:
    """With something that fits where nothing is known, which is then not found."""
    for filler in ("x", 1, UUID(int=0)):
        try:
            return reverse(name, args=[filler if value is None else value for value in values])
        except NoReverseMatch:
            continue
    raise AssertionError(f"{name}: say in this test what its address may be")


def named(
    resolver: URLResolver, spaces: tuple[str, ...] = (), parameters: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The name of each address with its namespaces, and its parameters."""
    for pattern in resolver.url_patterns:
        inside = (*parameters, *pattern.pattern.regex.groupindex)
        if isinstance(pattern, URLPattern):
            if pattern.name:
                yield (*spaces, pattern.name), inside
        elif str(pattern.pattern) != "api/":
            space = (pattern.namespace,) if pattern.namespace else ()
            yield from named(pattern, (*spaces, *space), inside)


def console() -> Iterator[str]:
    yield reverse("admin:index")
    for name in ("billing_grant", "billing_audit", "inference_engines", "inference_margins"):
        yield reverse(f"admin:{name}")
    for model in admin.site._registry:
        if model._meta.app_label in LIBRARIES:
            continue
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{stem}_changelist")
        yield reverse(f"{stem}_add")
        for row in model._default_manager.all()[:1]:
            yield reverse(f"{stem}_change", args=[row.pk])


def english_on(client: Client, paths: Iterator[str]) -> list[str]:
    """What is shown in English, and on which page first."""
    client.cookies["django_language"] = "zh-hans"
    client.raise_request_exception = False
    found: dict[str, str] = {}
    pages = 0
    for path in paths:
        response = client.get(path)
        assert response.status_code < 500, path
        if response.streaming or not response["Content-Type"].startswith("text/html"):
            continue
        html = response.content.decode()
        if "<html" not in html:
            continue
        pages += 1
        assert '<html lang="zh-hans"' in html, path
        for text in english_in(html):
            found.setdefault(text, path)
    assert pages > 10
    return [f"{text!r} on {path}" for text, path in found.items()]


def test_a_visitor_reads_no_english(client: Client, site: Site) -> None:
    assert english_on(client, addresses(site)) == []


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
def test_a_member_reads_no_english(
    site: Site, organisation: Organisation, bob: User, role: Role
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    assert english_on(signed_in(bob), addresses(site)) == []


def test_an_operator_reads_no_english(site: Site) -> None:
    staff = User.objects.create_superuser("staff@example.com")
    assert english_on(signed_in(staff), console()) == []


@pytest.mark.parametrize("password", ["x", "password", "12345678", "lighthouse1", ""])
def test_what_is_wrong_with_a_password_is_told_in_chinese(client: Client, password: str) -> None:
    """By Django, whose own translation lacks a part of it."""
    client.cookies["django_language"] = "zh-hans"
    sent = {"email": "lighthouse@example.com", "password1": password}
    page = client.post(reverse("account_signup"), sent)
    assert page.context["form"].errors["password1"]
    assert english_in(page.content.decode()) == []


@pytest.mark.parametrize(
    ("html", "english"),
    [
        ("<p>只有<b>Sign in</b></p><p>some words</p>", ["Sign in", "some words"]),
        ('<p lang="en">two words</p><code>no words</code>', []),
        ('<button aria-label="Close menu">x</button><p>密钥 Acme Inc</p>', ["Close menu"]),
        ('<script type="application/json">{"texts": {"a": "Sign in"}}</script>', ["Sign in"]),
        ("<p>2 of 3 done</p>", ["2 of 3 done"]),
    ],
)
def test_english_would_be_found(html: str, english: list[str]) -> None:
    assert english_in(html) == english
