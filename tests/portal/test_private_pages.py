"""What a signed-in person sees is kept by no cache: Vary is not read by all, files' names are."""

from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from accounts import operators

PAGES = [
    "/", "/docs/", "/portal/", "/portal/keys/", "/portal/usage/", "/portal/usage.csv",
    "/portal/members/", "/portal/billing/", "/portal/billing/ledger.csv", "/portal/settings/",
    "/playground/", "/playground/conversations.json", "/playground/conversations.md",
    "/portal/requests/req_none/", "/accounts/email/",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_a_members_page_is_stored_nowhere(path: str, alice_client: Client) -> None:
    assert {"private", "no-store"} <= words(alice_client, path)


def test_a_statement_is_stored_nowhere(alice_client: Client) -> None:
    path = f"/portal/billing/statements/{timezone.now():%Y-%-m}.csv"
    assert alice_client.get(path).status_code == 200
    assert {"private", "no-store"} <= words(alice_client, path)


def test_what_everybody_may_read_may_be_stored(client: Client, alice_client: Client) -> None:
    assert "no-store" not in words(client, "/docs/")
    assert words(alice_client, "/api/schema/") == {"public", "max-age=300"}


@pytest.mark.django_db
def test_the_answer_that_begins_a_session_is_stored_nowhere(client: Client) -> None:
    """Of sign-in the library says so itself; of this page nobody else does."""
    answer = client.post(urlsplit(operators.make_link()).path)
    assert "sessionid" in answer.cookies
    assert "no-store" in answer["Cache-Control"]


def words(client: Client, path: str) -> set[str]:
    told = client.get(path).headers.get("Cache-Control", "")
    return {word.strip() for word in told.split(",") if word.strip()}
