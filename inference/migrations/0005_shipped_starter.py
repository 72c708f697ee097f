"""The shipped model by its name: a path would break when the checkout moves."""

from pathlib import Path

from django.conf import settings
from django.db import migrations

SHIPPED = "shipped:starter"


def name_it(apps, _schema_editor):
    """Another folder of that name that is still there is somebody's own."""
    models = apps.get_model("inference", "ServedModel").objects
    for model in models.filter(source__endswith="/inference/starter"):
        folder = Path(model.source)
        if folder == settings.STARTER_DIR.resolve() or not folder.is_dir():
            model.source = SHIPPED
            model.save(update_fields=["source"])


def place_it(apps, _schema_editor):
    models = apps.get_model("inference", "ServedModel").objects
    models.filter(source=SHIPPED).update(source=str(settings.STARTER_DIR))


class Migration(migrations.Migration):
    dependencies = [("inference", "0004_names")]
    operations = [migrations.RunPython(name_it, place_it)]
