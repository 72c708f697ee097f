"""Where an organisation chooses its alerts: the billing page and the management API."""

import re
from typing import Any

import pytest
from django.forms import Form
from django.test import Client
from django.urls import reverse

from accounts import audit
from accounts.models import ApiKey, Membership, Organisation, Role, User
from billing import alert_settings, alerts
from billing.forms import AlertsForm, GrantForm
from billing.models import AlertPost, AlertSettings
from portal.lib.money import NANOS_PER_DOLLAR
from tests.management import Program

FORM = {
    "percentages": "80, 50 95%", "low_balance_nanos": "5", "by_mail": "on",
    "webhook_url": "https://example.com/hooks",
}  # fmt: skip


def test_a_program_reads_and_changes_what_is_told(manager: Program) -> None:
    default = {
        "percentages": [80, 95], "low_balance_nanos": None, "by_mail": True, "webhook_url": "",
    }  # fmt: skip
    assert manager("get", "api_alerts").json() == default
    wishes = {
        "percentages": [95, 50, 50], "low_balance_nanos": 7, "by_mail": False,
        "webhook_url": "https://example.com/hooks",
    }  # fmt: skip
    changed = manager("patch", "api_alerts", wishes)
    secret = changed.json().pop("webhook_secret")
    assert secret.startswith("whsec_")
    assert changed["Cache-Control"] == "no-store"
    expected = {**wishes, "percentages": [50, 95]}
    assert manager("get", "api_alerts").json() == expected
    again = manager("patch", "api_alerts", {"low_balance_nanos": None}).json()
    assert again == {**expected, "low_balance_nanos": None, "webhook_secret": None}
    other = manager("post", "api_alerts_secret").json()["webhook_secret"]
    assert other.startswith("whsec_")
    assert other != secret


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"percentages": [0]}, "percentages"), ({"percentages": [101]}, "percentages"),
        ({"percentages": ["50"]}, "percentages"), ({"percentages": 50}, "percentages"),
        ({"percentages": list(range(1, 12))}, "percentages"),
        ({"low_balance_nanos": 0}, "low_balance_nanos"), ({"by_mail": "yes"}, "by_mail"),
        ({"webhook_url": "http://example.com/"}, "webhook_url"),
        ({"webhook_url": "javascript:1"}, "webhook_url"),
        ({"webhook_secret": "mine"}, "webhook_secret"),
    ],
)  # fmt: skip
def test_a_wrong_wish_is_named(body: dict[str, Any], param: str, manager: Program) -> None:
    answer = manager("patch", "api_alerts", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
    assert not AlertSettings.objects.exists()


def test_only_a_management_key_of_the_organisation_does(
    stranger: Program, organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    stranger("patch", "api_alerts", {"by_mail": False})
    assert alert_settings.read(organisation).by_mail
    assert Client().get(reverse("api_alerts")).status_code == 401
    assert Program(api_key[1])("get", "api_alerts").status_code == 403
    assert stranger("post", "api_alerts", {}).status_code == 405


def test_the_page_takes_the_wishes_and_shows_the_secret_once(
    alice_client: Client, organisation: Organisation
) -> None:
    answer = alice_client.post(reverse("billing_alerts"), FORM)
    assert 'data-testid="webhook-secret"' in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    wanted = alert_settings.read(organisation)
    assert (wanted.percentages, wanted.low_balance_nanos) == ([50, 80, 95], 5 * NANOS_PER_DOLLAR)
    page = alice_client.get(reverse("billing")).content.decode()
    assert "50, 80, 95" in page
    assert "webhook-secret" not in page
    assert alice_client.post(reverse("billing_alerts"), FORM).status_code == 302
    chinese = FORM | {"percentages": "60，80、90％"}
    assert alice_client.post(reverse("billing_alerts"), chinese).status_code == 302
    assert alert_settings.read(organisation).percentages == [60, 80, 90]
    renewed = alice_client.post(reverse("billing_alerts_secret"))
    assert 'data-testid="webhook-secret"' in renewed.content.decode()


def test_a_form_replaces_the_secret_that_it_speaks_of_and_no_later_one(
    alice_client: Client, organisation: Organisation
) -> None:
    """A reload of its answer sends it again: what was copied from that must go on signing."""
    alice_client.post(reverse("billing_alerts"), FORM)
    page = alice_client.get(reverse("billing")).content.decode()
    mark = re.search(r'name="replaces" value="([0-9a-f]{64})"', page)
    assert mark
    address = reverse("billing_alerts_secret")
    renewed = alice_client.post(address, {"replaces": mark[1]}).content.decode()
    assert 'data-testid="webhook-secret"' in renewed
    copied = alert_settings.read(organisation).webhook_secret
    again = alice_client.post(address, {"replaces": mark[1]}, follow=True)
    assert again.redirect_chain == [(reverse("billing"), 302)]
    assert "This form has already replaced the secret" in again.content.decode()
    assert alert_settings.read(organisation).webhook_secret == copied
    later = re.search(r'name="replaces" value="([0-9a-f]{64})"', renewed)
    assert later
    assert alice_client.post(address, {"replaces": later[1]}).status_code == 200


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("percentages", "half"), ("percentages", "0"), ("percentages", "50.5"),
        ("percentages", "٥"), ("low_balance_nanos", "-1"), ("low_balance_nanos", "0"),
        ("webhook_url", "http://example.com/"), ("webhook_url", "https://u:p@example.com/"),
    ],
)  # fmt: skip
def test_a_wrong_wish_is_refused_beside_its_field(
    field: str, wrong: str, alice_client: Client
) -> None:
    answer = alice_client.post(reverse("billing_alerts"), {**FORM, field: wrong})
    assert answer.status_code == 400
    assert list(answer.context["alerts_form"].errors) == [field]
    assert not AlertSettings.objects.exists()


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("percentages", "101"), ("percentages", "1 2 3 4 5 6 7 8 9 10 11"),
        ("webhook_url", "http://example.com/"), ("webhook_url", "https://u:p@example.com/"),
        ("webhook_url", "https://"),
    ],
)  # fmt: skip
def test_a_refusal_is_in_the_language_of_the_page(
    field: str, wrong: str, alice_client: Client
) -> None:
    answer = alice_client.post(
        reverse("billing_alerts"), {**FORM, field: wrong}, HTTP_ACCEPT_LANGUAGE="zh-CN"
    )
    [refusal] = answer.context["alerts_form"].errors[field]
    assert refusal.endswith("。")


@pytest.mark.parametrize("form", [AlertsForm, GrantForm])
def test_a_sum_of_nothing_is_refused_in_plain_words(form: type[Form]) -> None:
    field = "amount" if form is GrantForm else "low_balance_nanos"
    bound = form({field: "0"})
    assert bound.errors[field] == ["It must be more than 0."]
    assert 'min="0"' in str(bound[field])  # a browser's own refusal would read 1E-9 aloud
    assert "1E-9" not in str(form({field: "-1"}).errors[field])
    assert field not in form({field: "0.000000001"}).errors


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", ["billing_alerts", "billing_alerts_secret"])
def test_who_pays_chooses(name: str, role: Role, bob: User, bob_client: Client) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    may = role in {Role.OWNER, Role.ADMIN, Role.BILLING}
    assert bob_client.post(reverse(name), FORM).status_code == (200 if may else 403)
    assert AlertSettings.objects.exists() == may


def test_the_page_shows_what_was_told_and_what_was_not_taken(
    alice_client: Client, organisation: Organisation
) -> None:
    alert_settings.change(
        organisation, low_balance_nanos=11 * NANOS_PER_DOLLAR, webhook_url="https://example.com/"
    )
    alerts.check_all()
    AlertPost.objects.update(error="It answered <500>.")
    page = alice_client.get(reverse("billing")).content.decode()
    assert "The balance is $10.00, below $11.00." in page
    assert "It answered &lt;500&gt;." in page


def test_changes_stand_in_the_audit_log_and_the_secret_does_not(
    alice_client: Client, organisation: Organisation
) -> None:
    alice_client.post(reverse("billing_alerts"), FORM)
    alice_client.post(reverse("billing_alerts_secret"))
    changes = [entry.changes for entry in audit.entries(organisation) if entry.changes]
    assert {"alerts.webhook_secret": ["an old one", "a new one"]} in changes
    assert any("alerts.webhook_url" in each for each in changes)
    assert "whsec_" not in str(changes)
