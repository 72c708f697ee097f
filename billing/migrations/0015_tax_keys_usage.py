from django.db import migrations, models
from django.db.models import F, Q, Sum
from django.utils import timezone

import django.db.models.deletion

NANOS_PER_CENT = 10_000_000


def to_nanos(apps, _editor):
    apps.get_model("billing", "Difference").objects.update(
        stripe_nanos=F("stripe_nanos") * NANOS_PER_CENT,
        ledger_nanos=F("ledger_nanos") * NANOS_PER_CENT,
    )


def to_cents(apps, _editor):
    apps.get_model("billing", "Difference").objects.update(
        stripe_nanos=F("stripe_nanos") / NANOS_PER_CENT,
        ledger_nanos=F("ledger_nanos") / NANOS_PER_CENT,
    )


def invoices_of_payments(apps, _editor):
    """What was settled until now, invoice by invoice; the last one has what all were rounded by."""
    PostPaid = apps.get_model("billing", "PostPaid")
    TopUp = apps.get_model("billing", "TopUp")
    UsageInvoice = apps.get_model("billing", "UsageInvoice")
    for post_paid in PostPaid.objects.all():
        paid = TopUp.objects.filter(organisation_id=post_paid.pk, source="post_paid")
        rest = post_paid.settled_nanos - NANOS_PER_CENT * (
            paid.aggregate(total=Sum("amount_cents"))["total"] or 0
        )
        for top_up in paid.order_by("-created_at"):
            UsageInvoice.objects.create(
                invoice_id=top_up.invoice_id, post_paid=post_paid,
                units_nanos=top_up.amount_cents * NANOS_PER_CENT + rest,
                price_cents=top_up.amount_cents, credited_cents=top_up.amount_cents,
                created_at=top_up.created_at,
            )
            rest = 0


class Migration(migrations.Migration):

    dependencies = [
        ("billing", "0014_closing"),
    ]

    operations = [
        migrations.AddField("topup", "tax_calculation_id", models.CharField(max_length=255, null=True)),
        migrations.AlterField(
            "autotopup", "state",
            models.CharField(choices=[('active', 'On'), ('off', 'Off'), ('needs_consent', "Waits for your bank's confirmation"), ('needs_address', 'Waits for your address'), ('stopped', 'Stopped')], default='off', max_length=16),
        ),
        migrations.RemoveConstraint("difference", "difference_differs"),
        migrations.RenameField("difference", "stripe_cents", "stripe_nanos"),
        migrations.RenameField("difference", "ledger_cents", "ledger_nanos"),
        migrations.RunPython(to_nanos, to_cents),
        migrations.AddConstraint(
            "difference",
            models.CheckConstraint(condition=~Q(stripe_nanos=F("ledger_nanos")), name="difference_differs"),
        ),
        migrations.AlterField(
            "difference", "kind",
            models.CharField(choices=[('payment', 'Payment'), ('usage', 'Usage told'), ('refund', 'Refund'), ('dispute', 'Dispute')], max_length=10),
        ),
        migrations.AlterField(
            "alert", "kind",
            models.CharField(choices=[('spending.threshold_reached', 'Spending'), ('spending.cap_reached', 'Monthly cap reached'), ('spending.key_cap_reached', 'Monthly cap of a key reached'), ('balance.low', 'Low balance')], max_length=32),
        ),
        migrations.AddField("alert", "api_key_id", models.UUIDField(null=True)),
        migrations.RemoveConstraint("alert", "alert_once_a_crossing"),
        migrations.AddConstraint(
            "alert",
            models.UniqueConstraint(fields=["organisation", "kind", "threshold"], condition=Q(cleared_at=None, api_key_id=None), name="alert_once_a_crossing"),
        ),
        migrations.AddConstraint(
            "alert",
            models.UniqueConstraint(fields=["api_key_id", "kind"], condition=Q(cleared_at=None, api_key_id__isnull=False), name="alert_once_a_key"),
        ),
        migrations.RemoveConstraint("postpaid", "post_paid_not_negative"),
        migrations.AddConstraint(
            "postpaid",
            models.CheckConstraint(condition=Q(metered_nanos__gte=0), name="post_paid_not_negative"),
        ),
        migrations.CreateModel(
            name="UsageInvoice",
            fields=[
                ("invoice_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("units_nanos", models.BigIntegerField()),
                ("price_cents", models.BigIntegerField()),
                ("credited_cents", models.BigIntegerField()),
                ("voided", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=timezone.now, editable=False)),
                ("post_paid", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="invoices", to="billing.postpaid")),
            ],
        ),
        migrations.AddConstraint(
            "usageinvoice",
            models.CheckConstraint(condition=Q(voided=False) | Q(credited_cents=0), name="usage_invoice_void_is_unpaid"),
        ),
        migrations.RunPython(invoices_of_payments, migrations.RunPython.noop),
    ]
