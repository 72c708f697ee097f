"""The shipped model by its name: a path would break when the checkout moves."""

from django.db import migrations


def name_it(apps, _schema_editor):
    models = apps.get_model("inference", "ServedModel").objects
    models.filter(source__endswith="/inference/starter").update(source="shipped:starter")


class Migration(migrations.Migration):
    dependencies = [("inference", "0004_names")]
    operations = [migrations.RunPython(name_it, migrations.RunPython.noop)]
