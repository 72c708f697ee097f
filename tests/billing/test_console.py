"""The operator's way from a customer to what there is of it, and from a model to its next price."""

import re
from datetime import date

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import flows
from accounts.models import Organisation, User
from billing import ledger
from billing.models import AutoTopUp, TopUp
from inference.models import ServedModel
from tests.billing.money import hold
from tests.conftest import signed_in
from tests.portal.records import make_record

pytestmark = pytest.mark.django_db
PRICE = {
    "input_nanos_per_mtok": "0.10", "cached_input_nanos_per_mtok": "0.05",
    "output_nanos_per_mtok": "0.4", "flex_multiplier_bp": "5000",
    "effective_from": "2026-01-01 00:00:00",
}  # fmt: skip


@pytest.fixture
def operator(alice: User) -> Client:
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    return signed_in(alice)


def links(client: Client, organisation: Organisation) -> list[str]:
    """Those that the customer's page has above its form."""
    address = reverse("admin:accounts_organisation_change", args=[organisation.pk])
    page = client.get(address).content.decode()
    [tools] = re.findall(r'<ul class="object-tools">(.*?)</ul>', page, re.DOTALL)
    return re.findall(r'href="([^"]+)"', tools)


def test_a_customers_page_leads_to_what_there_is_of_it(
    operator: Client, organisation: Organisation, bob: User
) -> None:
    other = flows.create_organisation(bob, "Other Works")
    for each in (organisation, other):
        flows.create_key(each, bob, f"key of {each.pk}")
        TopUp.objects.create(organisation=each, amount_cents=500)
        make_record(each)
    visit = reverse("admin:accounts_visit", args=[organisation.pk])
    found = links(operator, organisation)
    assert visit in found
    lists = [link for link in found if link.endswith(f"={organisation.pk}")]
    assert len(lists) == 5
    for link in lists:
        rows = operator.get(link).context["cl"].result_list
        num_expected = 2 if "/membership/" in link else 1  # Alice and Bob
        assert [row.organisation for row in rows] == [organisation] * num_expected, link


@pytest.mark.parametrize("subject", ["account", "hold"])
def test_a_list_of_money_names_its_customers(
    subject: str, operator: Client, organisation: Organisation, bob: User
) -> None:
    other = flows.create_organisation(bob, "Other Works")
    for each in (organisation, other):
        ledger.grant(each.pk, 1000, reference=f"grant:{each.pk}", description="A gift")
        hold(f"req_{each.pk}", each.pk, 10)
    page = operator.get(reverse(f"admin:billing_{subject}_changelist")).content.decode()
    rows = re.findall(r"<tr>(.*?)</tr>", page.split('id="result_list"')[1], re.DOTALL)
    assert [sum(each.name in row for row in rows) for each in (organisation, other)] == [1, 1]


def test_the_ledger_names_its_customers(
    operator: Client, organisation: Organisation, bob: User
) -> None:
    flows.create_organisation(bob, "Other Works")
    page = operator.get(reverse("admin:billing_transfer_changelist")).content.decode()
    cells = re.findall(r'<td class="field-credit_account[^>]*>(.*?)</td>', page)
    assert set(cells) == {organisation.name, "Other Works"}
    assert "Grants" in page


def test_automatic_top_ups_are_told_in_dollars_and_of_this_month(
    operator: Client, organisation: Organisation
) -> None:
    AutoTopUp.objects.create(
        organisation=organisation, threshold_cents=500, amount_cents=2500, ceiling_cents=1_234_500,
        month=date(2020, 1, 1), charged_cents=7_700,
    )  # fmt: skip
    page = operator.get(reverse("admin:billing_autotopup_changelist")).content.decode()
    told = re.findall(r'<td class="field-\w+">(-?\$[^<]+)</td>', page)
    assert told == ["$5.00", "$25.00", "$0.00", "$12,345.00"]


def test_a_list_of_balances_reads_all_tiers_at_once(
    operator: Client, organisation: Organisation, bob: User
) -> None:
    def reads() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(reverse("admin:billing_account_changelist")).status_code == 200
        return len(queries)

    before = reads()
    for number in range(3):
        flows.create_organisation(bob, f"Works {number}")
    assert reads() == before


def test_a_customers_page_leads_nowhere_that_is_closed(
    organisation: Organisation, charlie: User
) -> None:
    charlie.user_permissions.set(Permission.objects.filter(codename="view_organisation"))
    User.objects.filter(pk=charlie.pk).update(is_staff=True)
    assert all("history" in link for link in links(signed_in(charlie), organisation))


def test_a_price_of_a_name_that_had_none_is_pointed_out(operator: Client) -> None:
    """A name that was mistyped changes no price, and looks like success."""
    page = reverse("admin:billing_price_add")
    first = operator.post(page, {"model": "startr", **PRICE}, follow=True)
    assert "“startr” had no price before" in first.content.decode()
    next_one = operator.post(
        page, {"model": "startr", **PRICE, "effective_from": "2026-02-01 00:00:00"}, follow=True
    )
    assert "had no price before" not in next_one.content.decode()


def test_the_next_price_of_a_model_begins_with_its_name(operator: Client) -> None:
    ServedModel.objects.create(name="new", max_model_len=512)
    add = reverse("admin:billing_price_add")
    models = operator.get(reverse("admin:inference_servedmodel_changelist")).content.decode()
    assert f'href="{add}?model=new"' in models
    listed = operator.get(reverse("admin:billing_price_changelist"), {"model": "new"})
    [link] = re.findall(rf'href="({re.escape(add)}\?[^"]+)"', listed.content.decode())
    for address in (link, f"{add}?model=new"):
        form = operator.get(address).context["adminform"].form
        assert form["model"].value() == "new"
