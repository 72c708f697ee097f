"""A dispute names the suspension under which it stands, instead of saying that it brought one."""

from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def name_suspensions(apps, schema_editor):
    """Under the old rules all that were taken stood under the suspension that one of them brought."""
    disputes = apps.get_model("billing", "Dispute").objects
    organisations = apps.get_model("accounts", "Organisation").objects
    brought = disputes.filter(suspended=True).values("top_up__organisation")
    of_theirs = organisations.filter(top_ups=OuterRef("top_up"), pk__in=brought)
    disputes.filter(taken=True).update(
        suspended_at=Subquery(of_theirs.values("suspended_at")[:1])
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_multiplier"),
        ("billing", "0023_decode_ms"),
    ]

    operations = [
        migrations.AddField("dispute", "suspended_at", models.DateTimeField(null=True)),
        migrations.RunPython(name_suspensions, migrations.RunPython.noop),
        migrations.RemoveField("dispute", "suspended"),
    ]
