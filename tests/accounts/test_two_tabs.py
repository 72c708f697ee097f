"""A page of one organisation while another is chosen in another tab: nothing goes astray."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts import flows
from accounts.models import ApiKey, Organisation, User
from billing.models import Account

PAGES = ["billing", "members", "settings", "key_create", "keys", "organisation_delete"]


@pytest.fixture
def second(alice: User, organisation: Organisation) -> Organisation:
    return flows.create_organisation(alice, "Second", welcome=False)


def fields_of(client: Client, page: str) -> dict[str, str]:
    """What each form of the page sends hidden; all send the same."""
    html = client.get(reverse(page)).content.decode()
    forms = re.findall(r'<form[^>]*method="post".*?</form>', html, re.DOTALL)
    assert forms
    found = {re.search(r'name="page_of" value="([^"]*)"', form) for form in forms}
    assert None not in found
    [organisation_id] = {match.group(1) for match in found if match}
    return {"page_of": organisation_id}


@pytest.mark.parametrize("page", PAGES)
def test_every_form_says_whose_page_it_is_of(
    page: str, alice_client: Client, organisation: Organisation
) -> None:
    flows.create_key(organisation, None, "k")
    assert fields_of(alice_client, page) == {"page_of": organisation.pk}


def test_what_is_sent_from_the_first_tab_does_not_reach_the_second_organisation(
    alice_client: Client, organisation: Organisation, second: Organisation
) -> None:
    first_tab = fields_of(alice_client, "billing")
    assert fields_of(alice_client, "welcome") == first_tab
    alice_client.post(reverse("organisation_switch"), {"organisation": second.pk})
    for page, fields in (
        ("welcome", {"form_token": "t"}),
        ("billing_cap", {"monthly_cap": "5"}),
        ("member_invite", {"email": "dora@example.com", "role": "admin"}),
        ("key_create", {"name": "k", "scope": "inference"}),
        ("settings", {"form": "organisation", "name": "Renamed"}),
    ):
        answer = alice_client.post(reverse(page), first_tab | fields, follow=True)
        assert "You are in Second now" in answer.content.decode(), page
    second.refresh_from_db()
    assert second.name == "Second"
    assert not ApiKey.objects.exists()
    assert not second.invitations.exists()
    assert not Account.objects.exclude(monthly_cap_nanos=None).exists()
    second_tab = fields_of(alice_client, "billing")
    alice_client.post(reverse("billing_cap"), second_tab | {"monthly_cap": "5"})
    assert Account.objects.exclude(monthly_cap_nanos=None).get().organisation == second


def test_who_was_removed_meanwhile_changes_nothing_elsewhere(
    bob: User, bob_client: Client, organisation: Organisation
) -> None:
    own = flows.create_organisation(bob, "Bob and sons", welcome=False)
    page = fields_of(bob_client, "key_create")
    flows.remove_member(organisation.memberships.get(user=bob))
    fields = page | {"name": "k", "scope": "inference"}
    answer = bob_client.post(reverse("key_create"), fields, follow=True)
    assert "You are in Bob and sons now" in answer.content.decode()
    assert not own.api_keys.exists()


def test_the_choice_itself_is_made_from_any_tab(
    alice_client: Client, organisation: Organisation, second: Organisation
) -> None:
    first_tab = fields_of(alice_client, "billing")
    for chosen in (second, organisation, second):
        fields = first_tab | {"organisation": chosen.pk}
        alice_client.post(reverse("organisation_switch"), fields)
        assert fields_of(alice_client, "billing") == {"page_of": chosen.pk}
