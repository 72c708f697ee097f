"""Only the ledger's two halves write accounts, transfers and holds; four modules touch Stripe."""

import ast
import re
from collections.abc import Iterator

from tests.environment import REPOSITORY
from tests.structure.test_ceilings import our_trees

MONEY = {"Account", "Transfer", "Hold"}
WRITES = {
    "create", "bulk_create", "get_or_create", "update_or_create", "update", "bulk_update", "delete",
    "acreate", "aupdate", "adelete",
}  # fmt: skip
WRITERS = {"billing/ledger.py", "billing/ledger_payments.py"}
# What the ledger writes in SQL, and who may import that.
SQL_WRITERS = {"billing/hold_rows.py"}
SQL_WRITE = re.compile(
    r"\b(UPDATE|INSERT\s+INTO|DELETE\s+FROM)\s+\"?billing_(account|transfer|hold)\b", re.IGNORECASE
)
STRIPE = {
    "billing/stripe_api.py", "billing/stripe_billing.py", "billing/stripe_objects.py",
    "billing/webhooks.py",
}  # fmt: skip


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path, tree in our_trees().items():
        name = str(path.relative_to(REPOSITORY))
        if not name.startswith(("tests/", "benchmarks/")):
            yield name, tree


def writes_money(tree: ast.AST) -> list[int]:
    """Lines that call a writing method on a manager of a money model."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WRITES
        and any(
            isinstance(part, ast.Attribute)
            and part.attr in {"objects", "_default_manager", "_base_manager"}
            and isinstance(part.value, ast.Name)
            and part.value.id in MONEY
            for part in ast.walk(node.func)
        )
    ]


def writes_money_in_sql(tree: ast.AST) -> list[int]:
    """Lines of texts that hold a statement which writes a money table."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SQL_WRITE.search(node.value)
    ]


def names_hold_rows(tree: ast.AST) -> bool:
    return any(
        (isinstance(node, ast.ImportFrom) and "hold_rows" in (node.module or ""))
        or (
            isinstance(node, ast.Import | ast.ImportFrom)
            and any("hold_rows" in alias.name for alias in node.names)
        )
        for node in ast.walk(tree)
    )


def imported(node: ast.AST) -> set[str]:
    """The top-level packages that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    return set()


def test_only_the_ledger_writes_money() -> None:
    found = {name: lines for name, tree in sources() if (lines := writes_money(tree))}
    assert set(found) <= WRITERS, found


def test_it_would_notice_a_write_elsewhere() -> None:
    offence = ast.parse("Account.objects.filter(pk=1).update(credits_posted=5)")
    assert writes_money(offence) == [1]


def test_only_the_ledgers_own_module_writes_money_in_sql() -> None:
    found = {name for name, tree in sources() if writes_money_in_sql(tree)}
    assert found == SQL_WRITERS
    assert {name for name, tree in sources() if names_hold_rows(tree)} == {"billing/ledger.py"}


def test_it_would_notice_sql_elsewhere() -> None:
    offence = ast.parse('cursor.execute("update billing_account SET credits_posted = 5")')
    assert writes_money_in_sql(offence) == [1]
    assert names_hold_rows(ast.parse("from billing import hold_rows"))


def test_only_these_modules_touch_stripe() -> None:
    found = {
        name for name, tree in sources() for node in ast.walk(tree) if "stripe" in imported(node)
    }
    assert found <= STRIPE, found
