from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0019_pulse"),
        ("inference", "0011_offered_to"),
    ]

    operations = [
        migrations.RemoveField(model_name="keyedrequest", name="lease_until"),
        migrations.AddField(
            model_name="keyedrequest",
            name="lease",
            field=models.PositiveBigIntegerField(default=4),
            preserve_default=False,
        ),
    ]
