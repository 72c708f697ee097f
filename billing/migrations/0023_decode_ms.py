"""How long a request's tokens took after its first: one speed for every page that tells it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0022_names")]

    operations = [
        migrations.AddField("usagerecord", "decode_ms", models.PositiveIntegerField(null=True)),
    ]
