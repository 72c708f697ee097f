from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("billing", "0021_waiver_model")]

    operations = [
        migrations.AlterModelOptions(
            name="autotopup", options={"verbose_name": "automatic top-up"}
        ),
        migrations.AlterModelOptions(
            name="postpaid",
            options={
                "verbose_name": "organisation that pays later",
                "verbose_name_plural": "organisations that pay later",
            },
        ),
        migrations.AlterModelOptions(name="topup", options={"verbose_name": "top-up"}),
    ]
