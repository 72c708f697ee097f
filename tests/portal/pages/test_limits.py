"""The limits page: the organisation's tier, the table of all, and what was just used."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation
from billing import spending
from billing.models import TierOverride
from portal.pages.measures import Totals
from tests.portal.records import make_record


@pytest.fixture(autouse=True)
def _two_tiers(settings: LazySettings) -> None:
    settings.RATE_LIMIT_TIERS = ["small:0:1234:0", "large:50:5678:99999"]


def test_it_shows_what_applies_and_what_paying_more_leads_to(
    alice_client: Client, organisation: Organisation
) -> None:
    make_record(organisation, uncached_tokens=4_000, cached_tokens=0, output_tokens=321)
    make_record(organisation, at=timezone.now() - timedelta(minutes=2))
    page = alice_client.get(reverse("limits"))
    text = page.content.decode()
    assert "1,234" in text
    assert "no limit" in text
    assert "Next: large, from $50.00." in text
    used = page.context["used"]
    assert (used.requests, used.tokens) == (1, 4_321)


def test_it_says_when_the_operator_chose(alice_client: Client, organisation: Organisation) -> None:
    TierOverride.objects.create(organisation=organisation, tier="large", reason="secret reason")
    text = alice_client.get(reverse("limits")).content.decode()
    assert "chosen by the operator" in text
    assert "secret reason" not in text


def test_another_organisations_use_is_not_counted(
    charlie_client: Client, organisation: Organisation
) -> None:
    make_record(organisation)
    assert charlie_client.get(reverse("limits")).context["used"] == Totals()


def test_it_needs_a_member_and_takes_nothing(client: Client, alice_client: Client) -> None:
    assert client.get(reverse("limits")).status_code == 302
    assert alice_client.post(reverse("limits")).status_code == 405


def test_what_is_used_is_drawn_beside_what_applies(
    alice_client: Client, organisation: Organisation
) -> None:
    assert "Cap of this month" not in alice_client.get("/portal/limits/").content.decode()
    spending.set_monthly_cap(organisation, 5 * 10**9)
    make_record(organisation)
    page = alice_client.get("/portal/limits/").content.decode()
    assert '<progress class="meter" max="1234" value="1"' in page
    assert f'<progress class="meter" max="{5 * 10**9}" value="0"' in page
    assert "$5.00" in page
