"""What model a late waiver's tokens were sampled by: margins count them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0020_latest_last")]

    operations = [
        migrations.AddField("latewaiver", "model", models.CharField(max_length=200, db_default="")),
    ]
