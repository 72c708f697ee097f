"""The Celery application, its schedule, and its embedded form.

In production worker and beat are processes (`celery -A portal worker`, `celery -A portal beat`).
Embedded, they are threads of the serve process beside the in-memory broker; beat must be a thread
there, since its process form would have a broker of its own. The database is the queue of record:
each schedule entry picks up rows that a lost broker forgot.
"""

import os
import threading

from celery import Celery
from celery.beat import EmbeddedService
from celery.signals import setup_logging

from portal.beat import SteadyScheduler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Celery would replace the root handlers; Django has configured them already."""


class EmbeddedCelery:
    """Worker and beat as threads of this process.

    A few jobs run at once: one that waits for Stripe or a mail server keeps none from sweeping.

    `start` returns at once; `stop` lets the running task end.
    """

    def __init__(self) -> None:
        app.finalize()
        app.set_default()
        self._worker = app.WorkController(
            app=app,
            pool_cls="threads",
            concurrency=4,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        self._beat = EmbeddedService(app, thread=True, scheduler_cls=SteadyScheduler)

    def start(self) -> None:
        threading.Thread(target=self._worker.start, name="celery-worker", daemon=True).start()
        self._beat.start()

    def stop(self) -> None:
        self._beat.stop()
        self._worker.stop()
