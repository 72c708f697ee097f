"""`manage.py auditledger`: recompute the ledger; exit non-zero unless everything is 0."""

from typing import Any

from django.core.management.base import CommandError

from billing.audit import audit
from portal.lib.commands import SiteCommand


class Command(SiteCommand):
    help = "Recompute the ledger in SQL, print each number, and fail unless all are 0."

    def handle(self, **_options: Any) -> None:
        findings = audit()
        for finding in findings:
            self.stdout.write(f"{finding.value:>20}  {finding.code:<11} {finding.subject}")
        wrong = [finding.code for finding in findings if finding.value]
        if wrong:
            raise CommandError(f"The ledger is off: {', '.join(wrong)}.")
        self.stdout.write("The ledger is clean.")
