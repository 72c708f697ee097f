"""Drop indexes that every request paid for and no query needs.

In SQL: an altered field would make SQLite build the table anew, without its triggers.
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

INDEXES = {
    "billing_hold_account_id_56c002f9": "billing_hold (account_id)",
    "billing_transfer_credit_account_id_9cf5d92e": "billing_transfer (credit_account_id)",
    "billing_transfer_debit_account_id_797f8a20": "billing_transfer (debit_account_id)",
    "billing_usagerecord_organisation_id_69ed02ee": "billing_usagerecord (organisation_id)",
    "billing_usagerecord_price_id_75a97603": "billing_usagerecord (price_id)",
}
# PostgreSQL's second one of a text column.
LIKE = "billing_usagerecord_organisation_id_69ed02ee_like"


def unindexed(model: str, field: str, to: str, related_name: str) -> migrations.AlterField:
    key: models.ForeignKey[Any, Any] = models.ForeignKey(
        to, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name=related_name
    )
    return migrations.AlterField(model, field, key)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_deleted"), ("billing", "0015_tax_keys_usage")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(f"DROP INDEX IF EXISTS {name}", f"CREATE INDEX {name} ON {columns}")
                for name, columns in INDEXES.items()
            ]
            + [migrations.RunSQL(f"DROP INDEX IF EXISTS {LIKE}", migrations.RunSQL.noop)],
            state_operations=[
                unindexed("hold", "account", "billing.account", "holds"),
                unindexed("transfer", "credit_account", "billing.account", "credits"),
                unindexed("transfer", "debit_account", "billing.account", "debits"),
                unindexed("usagerecord", "organisation", "accounts.organisation", "usage_records"),
                unindexed("usagerecord", "price", "billing.price", "+"),
            ],
        )
    ]
