"""Of two workers that hear of a dispute, the one with Stripe's older answer asks again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0026_subscription_page"),
    ]

    operations = [
        migrations.AddField(
            model_name="dispute",
            name="version",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
