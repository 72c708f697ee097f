"""Addresses that answer a form with a page lead whoever only reads them to that page."""

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Organisation, User
from tests.conftest import PASSWORD

BILLING = ["top_up", "cap", "alerts", "alerts_secret", "auto_top_up"]
FORMS = [*((f"billing_{name}", "billing") for name in BILLING), ("member_invite", "members")]


@pytest.mark.parametrize(("name", "page"), FORMS)
def test_who_reads_the_address_of_a_form_is_led_to_its_page(
    name: str, page: str, alice_client: Client
) -> None:
    for read in (alice_client.get, alice_client.head):
        answer = read(reverse(name))
        assert (answer.status_code, answer["Location"]) == (302, reverse(page))
    assert alice_client.put(reverse(name)).status_code == 405


def test_reading_it_rotates_no_key(alice_client: Client, api_key: tuple[ApiKey, str]) -> None:
    answer = alice_client.get(reverse("key_rotate", args=[api_key[0].pk]))
    assert (answer.status_code, answer["Location"]) == (302, reverse("keys"))
    assert ApiKey.objects.count() == 1


def test_a_form_sent_after_the_session_ended_comes_back_to_its_page(
    client: Client, alice: User, organisation: Organisation
) -> None:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    asked = client.post(reverse("billing_cap"), {"monthly_cap": "5"})
    signed_in = client.post(asked["Location"], {"login": alice.email, "password": PASSWORD})
    page = client.get(signed_in["Location"], follow=True)
    assert page.redirect_chain[-1][0] == reverse("billing")
    assert page.status_code == 200


def test_a_refused_form_leaves_the_balance_fresh(alice_client: Client) -> None:
    page = alice_client.post(reverse("billing_cap"), {"monthly_cap": "-1"})
    assert page.status_code == 400
    assert f'id="live-balance" src="{reverse("billing")}"' in page.content.decode()
