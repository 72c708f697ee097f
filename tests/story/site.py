"""Starts the whole product as its users do: with `manage.py serve`, or as in production.

Both forms give a `Site`: an address, a data folder, and a way to run management commands with
the same settings. Everything is started on free ports and stopped by pid.
"""

import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg

from inference.engine.wire.asking import ask
from inference.engine.wire.engine_pb2 import EngineStats, InfoRequest
from inference.engine.wire.methods import INFO
from portal.celery import DEFAULT, OUTBOUND
from tests.databases import SQLITE, copy_of_migrated, migrated_postgres
from tests.environment import REPOSITORY, site_environment
from tests.forks import Forks
from tests.made_once import made_once
from tests.services import free_port, redis_server
from tests.story.balancer import balancer

# For processes that start, migrations of an empty database included: a machine may be busy.
START_S = 240.0


@dataclass
class Site:
    """A running site. `env` is what a management command needs to see the same data."""

    url: str
    data_dir: Path
    env: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    fronts: list[str] = field(default_factory=list)  # of its web processes, behind `url`

    def __post_init__(self) -> None:
        self._commands = Forks("tests.story.commands", self.env)

    def close(self) -> None:
        self._commands.close()

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` with the site's settings and return what it printed."""
        done = self._commands.run(arguments)
        if done.returncode != 0:
            raise AssertionError(f"manage.py {arguments} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def restart(self, name: str) -> None:
        """What systemd does with a process that died."""
        command = self.processes[name].args
        assert isinstance(command, tuple)
        self.processes[name].wait(10)
        self.processes[name] = start(self, name, *command)

    def issue_key(self, email: str, credit: str) -> str:
        return self.manage(
            "issuekey", "--email", email, "--name", "test", "--credit", credit
        ).strip()

    def engine_pids(self) -> list[int]:
        """The engine processes of this site and no other's: those with its socket folder."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_bytes().decode(errors="replace")
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except (OSError, PermissionError):
                continue
            if "inference.engine" in command and f"DATA_DIR={self.data_dir}\0" in environment:
                found.append(int(folder.name))
        return found

    def query(self, sql: str) -> int:
        """One number from the site's database."""
        return int(self.query_text(sql))

    def query_text(self, sql: str) -> str:
        """One value from the site's database."""
        if address := self.env.get("DATABASE_URL"):
            with psycopg.connect(address) as connection:
                row = connection.execute(sql).fetchone()  # type: ignore[call-overload]
        else:
            with closing(sqlite3.connect(self.data_dir / SQLITE)) as connection:
                row = connection.execute(sql).fetchone()
        assert row is not None
        return str(row[0])

    def balance_nanos(self, email: str) -> int:
        return self.query(
            "SELECT credits_posted - debits_posted - debits_pending FROM billing_account a"
            " JOIN accounts_membership m ON m.organisation_id = a.organisation_id"
            f" JOIN accounts_user u ON u.id = m.user_id WHERE u.email = '{email}'"
        )

    def open_holds(self) -> int:
        return self.query("SELECT COUNT(*) FROM billing_hold WHERE state = 'open'")

    def engine_address(self) -> str:
        if engines := self.env.get("ENGINES"):
            return engines.partition("=")[2]
        return f"unix:{self.data_dir / 'run' / 'engine-starter.sock'}"

    def engine_stats(self) -> EngineStats:
        """What the engine counts and runs now."""
        return ask(self.engine_address(), INFO, InfoRequest(), timeout_s=5).stats

    def engine_is_idle(self) -> bool:
        """Whether the engine runs nothing and all its blocks are free."""
        stats = self.engine_stats()
        return not (stats.num_running or stats.num_waiting or stats.kv_blocks_used)

    def audit(self) -> None:
        """Fail unless the ledger is clean."""
        self.manage("auditledger")

    def log(self) -> str:
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.data_dir.rglob("*.log"))
        )


def wait_until_ready(site: Site, deadline_s: float = START_S) -> None:
    """Until /readyz says 200: the database is migrated and an engine answers."""
    deadline = time.monotonic() + deadline_s
    answer = "nothing"
    while time.monotonic() < deadline:
        for name, process in site.processes.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} ended with {process.returncode}:\n{site.log()}")
        try:
            response = httpx.get(f"{site.url}/readyz", timeout=5)
            if response.status_code == 200:
                return
            answer = response.text
        except httpx.HTTPError as error:
            answer = repr(error)
        time.sleep(0.1)
    raise AssertionError(f"not ready after {deadline_s} s ({answer}):\n{site.log()}")


@contextmanager
def embedded_site(data_dir: Path, *, fresh: bool = False, **knobs: str) -> Iterator[Site]:
    """`manage.py serve`, nothing else; `fresh`: on an empty folder, else on a prepared one."""
    if not fresh:
        shutil.copytree(prepared_folder(), data_dir, dirs_exist_ok=True)
    port = free_port()
    env = site_environment(data_dir, PORT=str(port), **knobs)
    site = Site(f"http://localhost:{port}", data_dir, env)
    with closing(site), started(site, "serve", "serve", "--port", str(port)):
        wait_until_ready(site)
        yield site


def prepared_folder() -> Path:
    """A data folder after migrations and the collection of static files, which take seconds."""

    def prepare(folder: Path) -> None:
        copy_of_migrated(folder)
        with closing(Site("", folder, site_environment(folder))) as site:
            site.manage("shell", "-v0", "-c", "from portal import static; static.collect()")
        (folder / "secret_key").unlink()

    return made_once("prepared", prepare)


@contextmanager
def production_site(data_dir: Path, *, fresh: bool = False, **knobs: str) -> Iterator[Site]:
    """PostgreSQL, Redis, two web processes behind a balancer, an engine, workers and beat.

    `fresh`: by the commands of an installation, which find the migrations done.
    """
    if not fresh:
        shutil.copytree(prepared_folder() / "static", data_dir / "static")
    with ExitStack() as stack:
        database_url = stack.enter_context(migrated_postgres())
        redis_url = stack.enter_context(redis_server())
        ports = [free_port(), free_port()]
        front = stack.enter_context(balancer([("127.0.0.1", port) for port in ports]))
        engine_address = f"127.0.0.1:{free_port()}"
        url = f"http://localhost:{front}"
        env = site_environment(
            data_dir,
            BASE_URL=url, DATABASE_URL=database_url, REDIS_URL=redis_url,
            ENGINES=f"starter={engine_address}", WEB_CONCURRENCY="2", **knobs,
        )  # fmt: skip
        fronts = [f"http://localhost:{port}" for port in ports]
        site = stack.enter_context(closing(Site(url, data_dir, env, fronts=fronts)))
        starter = str(REPOSITORY / "inference" / "starter")
        if fresh:
            site.manage("migrate", "--verbosity", "0")
            site.manage("collectstatic", "--noinput", "--verbosity", "0")
            site.manage("addmodel", "starter", starter, "--input", "0.10", "--output", "0.40")
        else:  # without a look at the checkpoint, for which torch would be loaded
            site.manage(
                "shell", "-v0", "-c", "from inference import catalog as c; c.ensure_starter()"
            )
        engine = ["--fake"] if knobs.get("ENGINE_FAKE") else ["--path", starter]
        engine += shlex.split(knobs.get("ENGINE_ARGS", ""))
        command = [sys.executable, "-m", "inference.engine", "--model", "starter"]
        stack.enter_context(running(site, "engine", *command, "--listen", engine_address, *engine))
        for number, port in enumerate(ports):
            stack.enter_context(
                started(site, f"web{number}", "serve", "--web-only", "--port", str(port))
            )
        celery = [sys.executable, "-m", "celery", "-A", "portal"]
        for name, queue in (("worker", DEFAULT), ("outbound", OUTBOUND)):
            worker = ["worker", "--queues", queue, "--hostname", f"{name}@%h", "--pool", "threads"]
            stack.enter_context(running(site, name, *celery, *worker))
        stack.enter_context(running(site, "beat", *celery, "beat"))
        for address in fronts:
            wait_until_ready(Site(address, data_dir, env, site.processes))
        yield site


@contextmanager
def started(site: Site, name: str, *arguments: str) -> Iterator[None]:
    with running(site, name, sys.executable, "manage.py", *arguments):
        yield


@contextmanager
def running(site: Site, name: str, *command: str) -> Iterator[None]:
    """A child process of the site; stopped by SIGTERM, and by force after a while."""
    site.processes[name] = start(site, name, *command)
    try:
        yield
    finally:
        process = site.processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(site: Site, name: str, *command: str) -> subprocess.Popen[bytes]:
    logs = site.data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=REPOSITORY, env=site.env, stdout=log, stderr=subprocess.STDOUT
        )


SIGN_IN = """
from django.test import Client
from accounts.models import User
client = Client()
client.force_login(
    User.objects.get(email={email!r}), backend="django.contrib.auth.backends.ModelBackend"
)
print(client.cookies["sessionid"].value)
"""


def session_of(site: Site, email: str) -> str:
    """The cookie of a new session of theirs."""
    return site.manage("shell", "-v0", "-c", SIGN_IN.format(email=email)).strip()


def operator_link(site: Site) -> str:
    """The one-time link that `serve` printed, or a new one."""
    found = re.search(r"http://\S+", site.manage("operatorlink"))
    assert found is not None
    return found.group()
