"""What was paid late counts in the month of an automatic top-up, which may go over its ceiling."""

from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("billing", "0024_suspensions")]

    operations = [
        # Its default is in the database: old processes go on writing while a release is rolled out.
        migrations.AddField(
            "autotopup", "late_cents", models.PositiveIntegerField(default=0, db_default=0)
        ),
        migrations.RemoveConstraint("autotopup", "auto_top_up_ceiling"),
        migrations.AddConstraint(
            "autotopup",
            models.CheckConstraint(
                condition=Q(charged_cents__lte=F("ceiling_cents") + F("late_cents")),
                name="auto_top_up_ceiling",
            ),
        ),
        migrations.AddConstraint(
            "autotopup",
            models.CheckConstraint(
                condition=Q(late_cents__lte=F("charged_cents")), name="auto_top_up_late_within"
            ),
        ),
    ]
