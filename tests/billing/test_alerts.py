"""Alerts: told once a crossing, by mail, about the gravest; again after it was clearly back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import flows
from accounts.models import ApiKey, Membership, Organisation, OutgoingMail, Role, User
from billing import alert_settings, alerts, ledger, spending
from billing.models import Account, Alert, AlertPost, AlertSettings
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import hold, spend

CAP = 1000
TEN = 10 * NANOS_PER_DOLLAR


@pytest.fixture
def organisation(organisation: Organisation, settings: LazySettings) -> Organisation:
    settings.EMAIL_BACKEND = "accounts.mail.OutboxBackend"  # as on a site, not as in most tests
    spending.set_monthly_cap(organisation, CAP)
    alert_settings.change(organisation, percentages=[50, 80, 95])
    return organisation


def told() -> list[str]:
    return list(OutgoingMail.objects.order_by("pk").values_list("subject", flat=True))


def test_nothing_is_told_below_the_first_percentage(organisation: Organisation) -> None:
    spend(organisation, 499)
    assert alerts.check_all() == 0
    assert told() == []


def test_a_percentage_is_told_once_however_often_it_is_looked_at(
    organisation: Organisation,
) -> None:
    spend(organisation, 500)
    assert [alerts.check_all() for _look in range(3)] == [1, 0, 0]
    spend(organisation, 100)
    assert alerts.check_all() == 0
    assert told() == ["Acme: 50 % of the monthly cap is spent: $0.0000005 of $0.000001."]
    [mail] = OutgoingMail.objects.all()
    assert mail.recipients == ["alice@example.com"]
    assert "/portal/billing/" in mail.text


def test_who_passes_several_in_one_go_hears_of_the_highest(organisation: Organisation) -> None:
    spend(organisation, 960)
    assert alerts.check_all() == 3
    [subject] = told()
    assert "95 %" in subject


def test_a_new_month_may_tell_again(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in (1, 2):
        moment = datetime(2026, month, 28, tzinfo=UTC)
        monkeypatch.setattr(timezone, "now", lambda now=moment: now)
        spend(organisation, 600)
        assert alerts.check_all() == 1
    assert Alert.objects.filter(cleared_at=None).count() == 1


def test_a_value_must_be_clearly_back_before_it_is_told_again(organisation: Organisation) -> None:
    spend(organisation, 500)
    assert alerts.check_all() == 1
    spending.set_monthly_cap(organisation, 1050)  # 47.6 %, more than 47.5
    assert alerts.check_all() == 0
    spending.set_monthly_cap(organisation, CAP)
    assert alerts.check_all() == 0, "it was never clearly back"
    spending.set_monthly_cap(organisation, 1060)
    assert alerts.check_all() == 0
    spending.set_monthly_cap(organisation, CAP)
    assert alerts.check_all() == 1


def test_a_low_balance_is_told_until_it_is_clearly_back(organisation: Organisation) -> None:
    alert_settings.change(organisation, low_balance_nanos=TEN)
    assert alerts.check_all() == 0, "it is not below"
    spend(organisation, 1)
    assert alerts.check_all() == 1
    assert told() == ["Acme: The balance is $9.999999999, below $10.00."]
    ledger.grant(organisation.pk, 100, reference="grant:a", description="")
    assert alerts.check_all() == 0
    spend(organisation, 100)
    assert alerts.check_all() == 0, "it was never clearly back"
    ledger.grant(organisation.pk, TEN, reference="grant:b", description="")
    alerts.check_all()
    assert Alert.objects.get(kind="balance.low").cleared_at is not None


@pytest.mark.parametrize(("spent", "is_back"), [(475, False), (474, True)])
def test_spending_is_clearly_back_below_nineteen_twentieths(
    organisation: Organisation, spent: int, is_back: bool
) -> None:
    spend(organisation, spent)
    spending.set_monthly_cap(organisation, 2 * spent)
    assert alerts.check_all() == 1
    spending.set_monthly_cap(organisation, CAP)
    alerts.check_all()
    assert (Alert.objects.get().cleared_at is not None) == is_back


@pytest.mark.parametrize(("granted", "is_back"), [(TEN // 20, False), (TEN // 20 + 1, True)])
def test_a_balance_is_clearly_back_with_a_twentieth_more(
    organisation: Organisation, granted: int, is_back: bool
) -> None:
    alert_settings.change(organisation, low_balance_nanos=TEN)
    spend(organisation, 1)
    assert alerts.check_all() == 1
    ledger.grant(organisation.pk, granted, reference="grant:a", description="")
    alerts.check_all()
    assert (Alert.objects.get(kind="balance.low").cleared_at is not None) == is_back


def test_an_alert_of_a_clock_that_is_ahead_of_the_jobs_keeps_nobody_from_being_told(
    organisation: Organisation, charlie: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    [other] = charlie.organisations.all()
    alert_settings.change(other, low_balance_nanos=TEN)
    with monkeypatch.context() as patch:
        ahead = timezone.now() + timedelta(minutes=5)
        patch.setattr(timezone, "now", lambda: ahead)
        assert alerts.refused(organisation.pk, CAP, 1) is not None
    spending.set_monthly_cap(organisation, None)
    assert alerts.check_all() == 1
    alert = Alert.objects.get(kind="spending.cap_reached")
    assert alert.cleared_at == alert.created_at
    assert told()[-1] == "Other: The balance is $0.00, below $10.00."


def test_what_is_held_lowers_no_balance(organisation: Organisation) -> None:
    spending.set_monthly_cap(organisation, None)
    alert_settings.change(organisation, low_balance_nanos=TEN // 2)
    hold("r1", organisation.pk, TEN)
    assert alerts.check_all() == 0


def test_what_nobody_wants_to_hear_is_closed(organisation: Organisation) -> None:
    spend(organisation, 600)
    alerts.check_all()
    alert_settings.change(organisation, percentages=[])
    alerts.check_all()
    assert not Alert.objects.filter(cleared_at=None).exists()


def test_owners_admins_and_billing_members_are_told(organisation: Organisation, bob: User) -> None:
    spend(organisation, 500)
    Membership.objects.filter(user=bob).update(role=Role.BILLING)
    alerts.check_all()
    sent = [mail.recipients for mail in OutgoingMail.objects.all()]
    assert sorted(sent) == [["alice@example.com"], ["bob@example.com"]], "each a mail of their own"


def test_mail_can_be_turned_off(organisation: Organisation) -> None:
    alert_settings.change(organisation, by_mail=False)
    spend(organisation, 600)
    assert alerts.check_all() == 1
    assert (told(), AlertPost.objects.count()) == ([], 0)


def test_two_workers_tell_once(organisation: Organisation) -> None:
    """The second looked before the first had committed: the constraint refuses its row."""
    spend(organisation, 500)
    wanted = AlertSettings.objects.select_related("organisation__account").get()
    wanted.organisation.open_alerts = []  # type: ignore[attr-defined]
    assert len(alerts._check(wanted)) == 1
    assert alerts._check(wanted) == []
    assert len(told()) == 1


def test_the_database_itself_refuses_to_tell_twice(organisation: Organisation) -> None:
    fields: dict[str, Any] = {
        "organisation": organisation, "kind": "balance.low", "threshold": 5, "value_nanos": 4,
    }  # fmt: skip
    Alert.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(**fields)
    Alert.objects.update(cleared_at=timezone.now())
    Alert.objects.create(**fields)


def test_a_failure_on_the_way_leaves_no_alert_behind(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(organisation, 500)

    def crash(*_args: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(alerts, "_tell", crash)
        with pytest.raises(RuntimeError):
            alerts.check_all()
    assert not Alert.objects.exists()
    assert alerts.check_all() == 1


def test_the_first_cap_is_watched_unless_they_choose_otherwise(charlie: User) -> None:
    other = charlie.memberships.get().organisation
    ledger.grant(other.pk, TEN, reference="grant:c", description="")
    assert not AlertSettings.objects.filter(organisation=other).exists()
    spending.set_monthly_cap(other, CAP)
    spend(other, 800)
    assert alerts.check_all() == 1
    assert Account.objects.get(organisation=other).spent_nanos == 800


# --- The first refusal ---------------------------------------------------------------------------


def test_the_first_refusal_is_told_once_until_the_cap_changes(organisation: Organisation) -> None:
    spend(organisation, 400)
    for _ in range(2):
        alerts.refused(organisation.pk, CAP, 400)
        alerts.check_all()
    assert told() == [
        "Acme: Requests are refused: $0.0000004 of the monthly cap of $0.000001 is spent."
    ]
    spending.set_monthly_cap(organisation, 2 * CAP)
    alerts.check_all()
    assert not Alert.objects.filter(cleared_at=None).exists()
    alerts.refused(organisation.pk, 2 * CAP, 400)
    assert len(told()) == 2


def test_whoever_wants_no_alerts_is_not_told_of_refusals(
    organisation: Organisation, charlie: User
) -> None:
    AlertSettings.objects.all().delete()
    [other] = charlie.organisations.all()
    alert_settings.change(other, percentages=[50])
    assert alerts.refused(organisation.pk, CAP, 400) is None
    assert told() == []


def test_a_keys_first_refusal_is_told_once_until_its_cap_changes(
    organisation: Organisation, api_key: tuple[ApiKey, str]
) -> None:
    AlertSettings.objects.all().delete()  # a key's cap is the first thing there is to tell
    key, _secret = api_key
    other = key_of(organisation)
    ApiKey.objects.update(monthly_cap_nanos=CAP)
    for _ in range(2):
        alerts.refused(organisation.pk, CAP, 400, key.pk)
        alerts.refused(organisation.pk, CAP, 500, other.pk)
        alerts.check_all()
    assert told() == [
        f"Acme: Requests of the key {name} are refused: {spent} of its cap of $0.000001 is spent."
        for name, spent in ((key.name, "$0.0000004"), ("other", "$0.0000005"))
    ]
    ApiKey.objects.filter(pk=key.pk).update(monthly_cap_nanos=2 * CAP)
    alerts.check_all()
    assert Alert.objects.get(cleared_at=None).api_key_id == other.pk
    alerts.refused(organisation.pk, 2 * CAP, 400, key.pk)
    assert len(told()) == 3


def test_a_new_month_tells_of_a_keys_cap_again(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(organisation)
    for month in (1, 2):
        moment = datetime(2026, month, 28, tzinfo=UTC)
        monkeypatch.setattr(timezone, "now", lambda now=moment: now)
        alerts.check_all()
        assert alerts.refused(organisation.pk, CAP, 400, key.pk) is not None
        alerts.check_all()
    assert Alert.objects.filter(cleared_at=None).count() == 1


def test_the_database_refuses_to_tell_of_a_key_twice(organisation: Organisation) -> None:
    fields: dict[str, Any] = {
        "organisation": organisation, "kind": "spending.key_cap_reached", "value_nanos": 4,
        "api_key_id": key_of(organisation).pk,
    }  # fmt: skip
    Alert.objects.create(**fields, threshold=100)
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(**fields, threshold=99)


def key_of(organisation: Organisation) -> ApiKey:
    owner = User.objects.get(email="alice@example.com")
    key, _secret = flows.create_key(organisation, owner, "other", monthly_cap_nanos=CAP)
    return key
