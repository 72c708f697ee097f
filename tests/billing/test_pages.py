"""The billing page, the ledger as CSV and the management API of billing."""

import csv
import html
import io
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import flows
from accounts.models import ApiKey, Membership, Organisation, Role, User
from billing import ledger, tasks
from billing.models import Hold, TopUp, WebhookDelivery
from billing.views import LINES_PER_PAGE
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import context, draft, hold
from tests.portal.records import make_payments

TEN = 10 * NANOS_PER_DOLLAR


@pytest.fixture
def used(organisation: Organisation) -> Organisation:
    """One request settled at 400 nanos, one running that holds 1,000."""
    hold("req_done", organisation.id, 1000)
    ledger.settle("req_done", draft(400))
    hold("req_running", organisation.id, 1000)
    return organisation


def test_the_page_shows_posted_held_and_available(alice_client: Client, used: Organisation) -> None:
    answer = alice_client.get(reverse("billing"))
    assert answer.context["posted_nanos"] == TEN - 400
    page = answer.content.decode()
    assert f'data-nanos="{TEN - 1400}"' in page
    assert "req_running" in page
    assert reverse("request_detail", args=["req_done"]) in page


def test_what_is_held_names_its_request_and_key(
    alice_client: Client, organisation: Organisation, api_key: tuple[ApiKey, str], charlie: User
) -> None:
    stranger, _secret = flows.create_key(charlie.memberships.get().organisation, charlie, "secret")
    hold("req_small", organisation.id, 10, api_key_id=stranger.pk)
    hold("req_large", organisation.id, 30, api_key_id=api_key[0].pk)
    hold("req_played", organisation.id, 20, context={**context(), "face": "playground"})
    answer = alice_client.get(reverse("billing"))
    shown = [(each.request_id, key) for each, key in answer.context["holds"]]
    assert shown == [("req_large", "test"), ("req_played", None), ("req_small", None)]
    page = answer.content.decode()
    assert "Playground" in page
    assert "a key that is gone" in page, "no name of a stranger's key"


def test_many_holds_are_counted_and_the_largest_shown(
    alice_client: Client, organisation: Organisation
) -> None:
    for number in range(22):
        hold(f"req_{number}", organisation.id, number + 1)
    answer = alice_client.get(reverse("billing"))
    assert [each.amount_nanos for each, _key in answer.context["holds"]] == list(range(22, 2, -1))
    assert "2 more requests are running" in answer.content.decode()


def test_the_ledger_runs_its_balance(alice_client: Client, used: Organisation) -> None:
    lines = list(alice_client.get(reverse("billing")).context["page_obj"])
    assert [(line.signed_nanos, line.balance_nanos) for line in lines] == [
        (-400, TEN - 400),
        (TEN, TEN),
    ]


def test_what_is_booked_meanwhile_repeats_no_line_on_a_further_page(
    alice_client: Client, organisation: Organisation
) -> None:
    for number in range(LINES_PER_PAGE):  # and what the organisation was funded with
        ledger.grant(organisation.pk, number + 1, reference=f"grant:{number}", description="A gift")
    first = alice_client.get(reverse("billing"))
    ledger.grant(organisation.pk, 7, reference="grant:later", description="Another")
    [older] = re.findall(r'rel="next" href="([^"]+)"', first.content.decode())
    second = alice_client.get(reverse("billing") + html.unescape(older))
    lines = [line for page in (first, second) for line in page.context["page_obj"]]
    assert [line.balance_nanos for line in lines[-2:]] == [TEN + 1, TEN]
    assert len({line.reference for line in lines}) == len(lines) == LINES_PER_PAGE + 1


def test_a_further_page_that_was_come_to_by_its_number_goes_on_by_number(
    alice_client: Client, organisation: Organisation
) -> None:
    for number in range(3 * LINES_PER_PAGE):
        ledger.grant(organisation.pk, number + 1, reference=f"grant:{number}", description="A gift")
    second = alice_client.get(reverse("billing") + "?page=2")
    [older] = re.findall(r'rel="next" href="([^"]+)"', second.content.decode())
    third = alice_client.get(reverse("billing") + html.unescape(older))
    assert len(third.context["page_obj"]) == LINES_PER_PAGE


def test_a_charge_explains_itself_in_two_clicks(
    alice_client: Client, organisation: Organisation
) -> None:
    """From the line of the ledger to its request: which price, which tokens, and their sum."""
    hold("req_1", organisation.pk, 30_000)
    tokens = {"uncached_tokens": 100, "cached_tokens": 20, "output_tokens": 30}
    ledger.settle("req_1", draft(23_000, **tokens))
    ledger_line = alice_client.get(reverse("billing")).content.decode()
    [address] = re.findall(r'<a href="(/portal/requests/[^"]+)">req_', ledger_line)
    shown = re.sub(r"<[^>]+>|\s+", " ", alice_client.get(address).content.decode())
    for part in ("req_1", "100", "$0.10", "20", "$0.05", "30", "$0.40", "$0.000023"):
        assert part in shown, part


def test_a_payment_explains_itself_by_its_receipt(
    alice_client: Client, bob_client: Client, organisation: Organisation
) -> None:
    make_payments(organisation)
    receipt = reverse("billing_receipt", args=[TopUp.objects.get().pk])
    assert (
        f'<a href="{receipt}">payment:pi_1</a>'
        in alice_client.get(reverse("billing")).content.decode()
    )
    assert receipt not in bob_client.get(reverse("billing")).content.decode(), "he may not pay"


def test_the_csv_is_the_whole_ledger_oldest_first(alice_client: Client, used: Organisation) -> None:
    ledger.grant(used.id, 5, reference="grant:x", description="=SUM(A1)")
    answer = alice_client.get(reverse("billing_ledger_csv"))
    text = answer.content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["amount_usd"] for row in rows] == ["10.0", "-0.0000004", "0.000000005"]
    assert rows[-1]["balance_usd"] == "9.999999605"
    assert rows[-1]["description"] == "'=SUM(A1)", "no spreadsheet runs it"


def test_a_stranger_sees_their_own_ledger_only(charlie_client: Client, used: Organisation) -> None:
    page = charlie_client.get(reverse("billing")).content.decode()
    assert "req_done" not in page
    assert "req_running" not in page


def test_a_viewer_sees_no_money(bob_client: Client, bob: User) -> None:
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)
    for name in ("billing", "billing_ledger_csv"):
        assert bob_client.get(reverse(name)).status_code == 403
    assert bob_client.post(reverse("billing_top_up"), {"amount": "5"}).status_code == 403


def test_the_jobs_pick_up_what_was_left(used: Organisation) -> None:
    Hold.objects.update(lease=0)
    tasks.sweep_holds()
    assert not Hold.objects.filter(state="open").exists()
    WebhookDelivery.objects.create(
        event_id="evt_1", event_type="customer.created", payload="{}",
        next_attempt_at=timezone.now() - timedelta(minutes=5),
    )  # fmt: skip
    tasks.reprocess_webhooks()
    assert WebhookDelivery.objects.get().processed_at is not None
