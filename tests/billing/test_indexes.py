"""Every request pays for every index: there are those that queries need, growing at the end."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing import audit, monthly, statements
from billing.models import Account, Hold, HoldState, Transfer, UsageRecord

OPEN = HoldState.OPEN
LATEST = ("-created_at", "-pk")
# What is asked of the tables that grow with every request, and the index that answers it.
QUERIES: list[tuple[str, Callable[[], QuerySet[Any]]]] = [
    ("hold_open_account", lambda: Hold.objects.filter(account_id=1, state=OPEN)),
    ("hold_open_account", lambda: Hold.objects.filter(lease__lte=7, state=OPEN)),
    ("usage_by_time", lambda: UsageRecord.objects.filter(created_at__gte=timezone.now())),
    (
        "usage_of_organisation",
        lambda: UsageRecord.objects.filter(organisation_id="org_1").order_by(*LATEST),
    ),
    (
        "usage_of_key",
        lambda: UsageRecord.objects.filter(api_key_id="0" * 32).order_by("-created_at"),
    ),
    ("transfer_debits", lambda: Transfer.objects.filter(debit_account_id=1).order_by("-pk")),
    ("transfer_credits", lambda: Transfer.objects.filter(credit_account_id=1).order_by("-pk")),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("index", "query"), QUERIES)
def test_a_query_goes_through_its_index_and_sorts_nothing(
    index: str, query: Callable[[], QuerySet[Any]]
) -> None:
    plan = query().explain()
    assert index in plan, plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.django_db
def test_a_page_of_the_ledger_is_found_without_sorting_all_of_it() -> None:
    plan = statements.lines(Account(pk=1))[:50].explain()
    assert "transfer_debits" in plan, plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.django_db
def test_the_first_month_of_a_ledger_is_found_without_sorting_all_of_it() -> None:
    with CaptureQueriesContext(connection) as asked:
        monthly.months(Account(pk=1))
    [query] = asked
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
        plan = str(cursor.fetchall())
    assert "transfer_debits" in plan, plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.django_db
@pytest.mark.parametrize("code", audit.QUERIES)
def test_the_audit_reads_no_table_once_for_each_row_of_another(code: str) -> None:
    _subject, query = audit.QUERIES[code]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query}")
        steps = [row[-1] for row in cursor.fetchall()]
    # Of open holds (h) there are few.
    assert [step for step in steps if re.match("SCAN [^h]+ LEFT-JOIN", step)] == []


@pytest.mark.parametrize("name", ["transfer", "hold", "usagerecord"])
def test_a_list_of_the_console_computes_nothing_from_each_row(
    name: str, admin_client: Client
) -> None:
    """Of 200,000 transfers a list of their months took a second of 1.3 (SQLite)."""
    with CaptureQueriesContext(connection) as asked:
        assert admin_client.get(reverse(f"admin:billing_{name}_changelist")).status_code == 200
    assert [query["sql"] for query in asked if "trunc" in query["sql"].lower()] == []


@pytest.mark.parametrize("model", [Transfer, UsageRecord])
def test_the_latest_row_is_the_last_of_its_kind_in_every_index(model: type[Model]) -> None:
    for index in model._meta.indexes:
        name, order = index.fields_orders[-1]
        assert name in ("id", "created_at")
        assert order == ""
