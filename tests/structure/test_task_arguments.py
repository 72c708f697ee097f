"""What waits in the broker are names of rows: no key, no prompt, no address of a person.

And what waits for others' servers has a queue of its own.
"""

import inspect

from portal.celery import OUTBOUND, app


def test_tasks_take_ids_and_nothing_else() -> None:
    app.loader.import_default_modules()
    taken = {
        name: set(inspect.signature(task.run).parameters)
        for name, task in app.tasks.items()
        if not name.startswith("celery.")
    }
    assert taken["accounts.tasks.deliver_mail"] == {"mail_id"}
    assert len(taken) >= 13
    for name, parameters in taken.items():
        assert all(parameter.endswith("_id") for parameter in parameters), name


def test_what_waits_for_others_has_a_queue_of_its_own() -> None:
    app.loader.import_default_modules()
    router = app.amqp.router
    outbound = {name for name in app.tasks if router.route({}, name)["queue"].name == OUTBOUND}
    assert outbound == {
        "accounts.tasks.deliver_mail",
        "accounts.tasks.deliver_waiting_mail",
        "billing.tasks.post_alerts",
    }
