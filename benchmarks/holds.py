"""What a request's money costs in its path: `python benchmarks/holds.py`.

Opens a hold with a key's and an organisation's cap, and settles it: the two transactions of every
request, by the ledger's own verbs in one thread, on SQLite (as shipped: WAL, full synchronisation)
and, with `--database-url`, on PostgreSQL as well. Writes `benchmarks/results/holds-<machine>.json`:
milliseconds by the clock, with what the disk takes, and of this process's processor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import RESULTS, machine, machine_name
from benchmarks.summary import percentile

WARM = 200  # requests that are not counted
CREDIT_NANOS = 10**15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--requests", type=int, default=2000)
    add("--database-url", default="", help="an empty PostgreSQL database, beside SQLite")
    add("--output", type=Path, default=RESULTS / f"holds-{machine_name()}.json")
    add("--here", action="store_true", help=argparse.SUPPRESS)  # in a process for one database
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.requests)))
        return
    databases = {"sqlite": "", **({"postgresql": args.database_url} if args.database_url else {})}
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "requests": args.requests,
        "databases": {name: measured(url, args.requests) for name, url in databases.items()},
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report["databases"], indent=2))
    print(f"Written to {args.output}")


def measured(database_url: str, num_requests: int) -> dict[str, Any]:
    """Of a new database, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="parlance-bench-") as folder:
        done = subprocess.run(
            [sys.executable, __file__, "--here", "--requests", str(num_requests)],
            env={**os.environ, "DATA_DIR": folder, "DATABASE_URL": database_url},
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(num_requests: int) -> dict[str, Any]:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.core.management import call_command

    from accounts import flows
    from accounts.models import User
    from billing import ledger
    from tests.billing.money import context, draft

    call_command("migrate", verbosity=0)
    user = User.objects.create_user("benchmark@example.com")
    organisation_id = flows.create_organisation(user, "Benchmark", welcome=False).pk
    ledger.grant(organisation_id, CREDIT_NANOS, reference="grant:benchmark", description="")
    ledger.set_monthly_cap(organisation_id, CREDIT_NANOS)
    options: dict[str, Any] = {
        "owner": "web1", "context": context(), "api_key_id": uuid4(),
        "monthly_cap_nanos": CREDIT_NANOS,
    }  # fmt: skip
    opened, settled = Watch(), Watch()
    for number in range(WARM + num_requests):
        request_id = f"req_{number}"
        opened.time(ledger.open_hold, request_id, organisation_id, 1000, **options)
        settled.time(ledger.settle, request_id, draft(600))
    return {"hold": opened.summary(), "settle": settled.summary()}


class Watch:
    """Times one thing, again and again."""

    def __init__(self) -> None:
        self._clock: list[float] = []
        self._cpu: list[float] = []

    def time(self, act: Callable[..., object], *args: object, **more: object) -> None:
        clock, cpu = time.perf_counter(), time.thread_time()
        act(*args, **more)
        self._cpu.append(time.thread_time() - cpu)
        self._clock.append(time.perf_counter() - clock)

    def summary(self) -> dict[str, float]:
        clock, cpu = self._clock[WARM:], self._cpu[WARM:]
        return {
            "p50_ms": round(1000 * percentile(clock, 50), 3),
            "p99_ms": round(1000 * percentile(clock, 99), 3),
            "processor_ms": round(1000 * sum(cpu) / len(cpu), 3),
        }


if __name__ == "__main__":
    main()
