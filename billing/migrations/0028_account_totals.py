"""What an account takes in stays within 64 bits, where SQLite would go on in floating point."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_multiplier"),
        ("billing", "0027_dispute_version"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(credits_posted__lte=4 * 10**18), name="account_totals_fit"
            ),
        ),
    ]
