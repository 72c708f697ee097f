"""Alerts: a share of the monthly cap is spent, or the balance is low.

A beat task looks at every organisation that wants to be told. A threshold that is crossed opens
an alert, which a constraint allows once; it is closed when the value is clearly back (`BACK` of
the threshold), when its month is over or when nobody wants it any more, and may open again then.
Rows, mail and post are one transaction: whoever commits first tells, and nobody else.

The first request that is refused for a cap, the organisation's or a key's, is told at once, by
whoever refuses it: what is spent may never reach the cap itself. Told again next month, or when the
cap has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Prefetch
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Organisation
from billing import notices
from billing.models import Account, Alert, AlertKind, AlertPost, AlertSettings
from billing.months import month_of
from portal.lib.money import BASIS_POINTS, format_dollars

# How far a value must be back before its alert may come again: a twentieth of the threshold.
BACK_BP = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """A threshold beside its value: whether it is crossed, and whether clearly not."""

    kind: AlertKind
    threshold: int
    value_nanos: int
    cap_nanos: int | None
    crossed: bool
    back: bool
    api_key_id: UUID | None = None

    @property
    def of(self) -> tuple[str, int]:
        return self.kind.value, self.threshold


def check_all() -> int:
    """Look at every organisation that wants to be told; how many alerts were opened."""
    open_now = Prefetch(
        "organisation__alerts", Alert.objects.filter(cleared_at=None), to_attr="open_alerts"
    )
    wanted = AlertSettings.objects.select_related("organisation__account")
    rows = wanted.prefetch_related(open_now).iterator(chunk_size=500)
    return sum(len(_check(row)) for row in rows)


def _check(wanted: AlertSettings) -> list[Alert]:
    """Close what is over, open what is crossed, tell the gravest of it; what was opened."""
    readings = list(_readings(wanted, wanted.organisation.account))
    open_alerts: list[Alert] = wanted.organisation.open_alerts  # type: ignore[attr-defined]
    cap_nanos = wanted.organisation.account.monthly_cap_nanos
    over = [alert for alert in open_alerts if _is_over(alert, readings, cap_nanos)]
    stay = {(alert.kind, alert.threshold) for alert in open_alerts if alert not in over}
    crossed = [each for each in readings if each.crossed and each.of not in stay]
    if not over and not crossed:
        return []  # almost always: no transaction is begun for it
    with transaction.atomic():
        for alert in over:
            # Whoever opened it may have a clock that is ahead of this one.
            cleared_at = max(timezone.now(), alert.created_at)
            Alert.objects.filter(pk=alert.pk, cleared_at=None).update(cleared_at=cleared_at)
        made = [_open(wanted.organisation_id, each) for each in crossed]
        opened = [alert for alert in made if alert is not None]
        for alert in _gravest(opened):
            _tell(wanted, alert)
    return opened


def _readings(wanted: AlertSettings, account: Account) -> Iterator[Reading]:
    cap = account.monthly_cap_nanos
    if cap:
        spent = account.spent_in(month_of(timezone.now()))
        for percentage in wanted.percentages:
            yield Reading(
                AlertKind.SPENDING, percentage, spent, cap,
                crossed=spent * 100 >= cap * percentage,
                back=spent * 100 * BASIS_POINTS < cap * percentage * (BASIS_POINTS - BACK_BP),
            )  # fmt: skip
    if low := wanted.low_balance_nanos:
        # What holds keep comes back: it is not counted, or every burst would be an alert.
        balance = account.credits_posted - account.debits_posted
        yield Reading(
            AlertKind.BALANCE, low, balance, None,
            crossed=balance < low,
            back=balance * BASIS_POINTS >= low * (BASIS_POINTS + BACK_BP),
        )  # fmt: skip


def _is_over(alert: Alert, readings: list[Reading], cap_nanos: int | None) -> bool:
    month = month_of(timezone.now())
    if alert.kind != AlertKind.BALANCE and month_of(alert.created_at) < month:
        return True
    if alert.kind == AlertKind.REFUSED:
        return alert.cap_nanos != cap_nanos
    if alert.kind == AlertKind.KEY_REFUSED:
        assert alert.api_key_id is not None
        same_cap = ApiKey.objects.filter(monthly_cap_nanos=alert.cap_nanos)
        return not same_cap.filter(id=alert.api_key_id).exists()
    return all(each.back for each in readings if each.of == (alert.kind, alert.threshold))


def _open(organisation_id: str, reading: Reading) -> Alert | None:
    """None when another worker has just opened it."""
    try:
        with transaction.atomic():
            return Alert.objects.create(
                organisation_id=organisation_id,
                kind=reading.kind,
                threshold=reading.threshold,
                value_nanos=reading.value_nanos,
                cap_nanos=reading.cap_nanos,
                api_key_id=reading.api_key_id,
                created_at=timezone.now(),
            )
    except IntegrityError:
        return None


def refused(
    organisation_id: str, cap_nanos: int, spent_nanos: int, api_key_id: UUID | None = None
) -> Alert | None:
    """A request was refused for the organisation's cap, or a key's; the alert, if it is new."""
    kind = AlertKind.REFUSED if api_key_id is None else AlertKind.KEY_REFUSED
    known = Alert.objects.filter(
        organisation_id=organisation_id, kind=kind, cleared_at=None, cap_nanos=cap_nanos,
        api_key_id=api_key_id,
    )  # fmt: skip
    wanted = AlertSettings.objects.filter(pk=organisation_id).first()
    if known.exists() or (wanted is None and api_key_id is None):
        return None
    reading = Reading(
        kind, 100, spent_nanos, cap_nanos, crossed=True, back=False, api_key_id=api_key_id
    )
    with transaction.atomic():
        if wanted is None:  # a key's cap may be the first thing there is to be told about
            wanted, _created = AlertSettings.objects.get_or_create(pk=organisation_id)
        alert = _open(organisation_id, reading)
        if alert is not None:
            _tell(wanted, alert)
    return alert


def _gravest(opened: list[Alert]) -> list[Alert]:
    """Of each kind one: who passed 80 and 95 per cent in one go hears of 95."""
    latest = {alert.kind: alert for alert in sorted(opened, key=lambda each: each.threshold)}
    return list(latest.values())


def _tell(wanted: AlertSettings, alert: Alert) -> None:
    if wanted.by_mail:
        _mail(alert)
    if wanted.webhook_url:
        AlertPost.objects.create(alert=alert)


def _mail(alert: Alert) -> None:
    organisation = Organisation.objects.get(pk=alert.organisation_id)
    # Lazy, since each payer has their own language.
    notices.send_to_payers(organisation, "alert", sentence=lazy(sentence, str)(alert))


def sentence(alert: Alert) -> str:
    """What happened, for a subject line and for the billing page."""
    if alert.kind == AlertKind.BALANCE:
        return _("The balance is %(balance)s, below %(threshold)s.") % {
            "balance": format_dollars(alert.value_nanos),
            "threshold": format_dollars(alert.threshold),
        }
    assert alert.cap_nanos is not None
    if alert.kind == AlertKind.KEY_REFUSED:
        assert alert.api_key_id is not None
        key = ApiKey.objects.get(pk=alert.api_key_id)
        words = _(
            "Requests of the key %(key)s are refused: %(spent)s of its cap of %(cap)s is spent."
        )
        return words % {
            "key": key.name,
            "spent": format_dollars(alert.value_nanos),
            "cap": format_dollars(alert.cap_nanos),
        }
    if alert.kind == AlertKind.REFUSED:
        return _("Requests are refused: %(spent)s of the monthly cap of %(cap)s is spent.") % {
            "spent": format_dollars(alert.value_nanos),
            "cap": format_dollars(alert.cap_nanos),
        }
    return _("%(percentage)s %% of the monthly cap is spent: %(spent)s of %(cap)s.") % {
        "percentage": alert.threshold,
        "spent": format_dollars(alert.value_nanos),
        "cap": format_dollars(alert.cap_nanos),
    }
