"""What counts towards monthly caps: one row a key, and a cap for an organisation.

What the old rows said by the month in which a request began is counted anew from the records, by
the month in which it was charged.
"""

from django.db import migrations, models
from django.db.models import F, Q, Sum
from django.utils import timezone


def fill(apps, _schema_editor):
    begin = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    _fill_accounts(apps, begin)
    _fill_keys(apps, begin)


def _fill_accounts(apps, begin):
    charges = apps.get_model("billing", "Transfer").objects.filter(
        kind="usage", created_at__gte=begin
    )
    accounts = apps.get_model("billing", "Account").objects
    for account_id, spent in charges.values_list("debit_account").annotate(Sum("amount_nanos")):
        accounts.filter(pk=account_id).update(spend_month=begin.date(), spent_nanos=spent)


def _fill_keys(apps, begin):
    records = apps.get_model("billing", "UsageRecord").objects.filter(created_at__gte=begin)
    holds = apps.get_model("billing", "Hold").objects.filter(state="open")
    spent = _by_key(records, "cost_nanos")
    held = _by_key(holds, "amount_nanos")
    row = apps.get_model("billing", "KeySpend")
    row.objects.bulk_create(
        row(
            api_key_id=key,
            spend_month=begin.date(),
            spent_nanos=spent.get(key, 0),
            pending_nanos=held.get(key, 0),
        )
        for key in spent.keys() | held.keys()
    )


def _by_key(rows, amount):
    return dict(
        rows.exclude(api_key_id=None).order_by().values_list("api_key_id").annotate(Sum(amount))
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_reconciliation")]

    operations = [
        migrations.DeleteModel(name="KeySpend"),
        migrations.CreateModel(
            name="KeySpend",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("spend_month", models.DateField(null=True)),
                ("spent_nanos", models.BigIntegerField(default=0)),
                ("api_key_id", models.UUIDField(unique=True)),
                ("pending_nanos", models.BigIntegerField(default=0)),
            ],
            options={
                "abstract": False,
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(spent_nanos__gte=0, pending_nanos__gte=0),
                        name="key_spend_not_negative",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="account", name="spend_month", field=models.DateField(null=True)
        ),
        migrations.AddField(
            model_name="account", name="spent_nanos", field=models.BigIntegerField(default=0)
        ),
        migrations.AddField(
            model_name="account", name="monthly_cap_nanos", field=models.BigIntegerField(null=True)
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=Q(spent_nanos__gte=0, spent_nanos__lte=F("debits_posted")),
                name="account_spent_what_it_was_charged",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=Q(monthly_cap_nanos=None) | Q(monthly_cap_nanos__gte=0),
                name="account_cap_not_negative",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
