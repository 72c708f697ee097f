import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0018_carried_usage"),
    ]

    operations = [
        migrations.CreateModel(
            name="Pulse",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveBigIntegerField(default=0)),
                ("beat_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("checked_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="pulse_is_one_row")
                ],
            },
        ),
        migrations.RemoveIndex(model_name="hold", name="hold_open_lease"),
        # Open holds get the lease of one that is made now, before the first beat.
        migrations.AddField(
            model_name="hold",
            name="lease",
            field=models.PositiveBigIntegerField(default=4),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(
                condition=models.Q(("state", "open")), fields=["lease"], name="hold_open_lease"
            ),
        ),
    ]
