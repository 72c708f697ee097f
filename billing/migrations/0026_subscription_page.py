"""One page on which an organisation may subscribe: two tabs began two subscriptions."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import billing.plan_models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_multiplier"),
        ("billing", "0025_late_payments"),
    ]

    operations = [
        migrations.CreateModel(
            name="SubscriptionPage",
            fields=[
                (
                    "organisation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, primary_key=True,
                        related_name="subscription_page", serialize=False,
                        to="accounts.organisation",
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+",
                        to="billing.plan",
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        default=billing.plan_models.new_page_key, max_length=40, unique=True
                    ),
                ),
                ("checkout_session_id", models.CharField(blank=True, max_length=255)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
        ),
    ]
