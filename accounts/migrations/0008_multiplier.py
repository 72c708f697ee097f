import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_first_key")]

    operations = [
        migrations.AlterField(
            model_name="organisation",
            name="multiplier_bp",
            field=models.PositiveIntegerField(
                default=10000, validators=[django.core.validators.MaxValueValidator(100000)]
            ),
        ),
    ]
