"""The Celery application, its schedule, and its embedded form.

In production workers and beat are processes (`celery -A portal worker`, `celery -A portal beat`).
Embedded, they are threads of the serve process beside the in-memory broker; beat must be a thread
there, since its process form would have a broker of its own. The database is the queue of record:
each schedule entry picks up rows that a lost broker forgot.

Each queue has workers of its own; a worker that names none takes from both.
"""

import os
import threading
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService
from celery.signals import setup_logging

from portal.beat import SteadyScheduler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

DEFAULT = "celery"
# What waits for a mail server, or for an address that a customer chose: however long that takes,
# nothing of credit and holds waits behind it.
OUTBOUND = "outbound"
ROUTES = {"accounts.tasks.deliver_*": OUTBOUND, "billing.tasks.post_*": OUTBOUND}
NUM_THREADS = 4  # of each queue's embedded worker


def new_app() -> Celery:
    """Our settings and tasks. An application's workers all take from the same queues."""
    made = Celery("portal")
    made.config_from_object("django.conf:settings", namespace="CELERY")
    made.conf.task_queues = {name: {"binding_key": name} for name in (DEFAULT, OUTBOUND)}
    made.conf.task_routes = {name: {"queue": queue} for name, queue in ROUTES.items()}
    made.autodiscover_tasks()
    return made


app = new_app()


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Celery would replace the root handlers; Django has configured them already."""


class EmbeddedCelery:
    """Workers and beat as threads of this process.

    `start` returns at once; `stop` lets the running tasks end.
    """

    def __init__(self) -> None:
        self._workers = [_worker(DEFAULT, app), _worker(OUTBOUND, new_app())]
        app.set_default()
        self._beat = EmbeddedService(app, thread=True, scheduler_cls=SteadyScheduler)

    def start(self) -> None:
        for worker in self._workers:
            threading.Thread(target=worker.start, name="celery-worker", daemon=True).start()
        self._beat.start()

    def stop(self) -> None:
        self._beat.stop()
        for worker in self._workers:
            worker.stop()


def _worker(queue: str, owner: Celery) -> Any:
    owner.finalize()
    return owner.WorkController(
        app=owner,
        hostname=f"{queue}@localhost",
        queues=[queue],
        pool_cls="threads",
        concurrency=NUM_THREADS,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
