"""What waits in the broker are names of rows: no key, no prompt, no address of a person."""

import inspect

from portal.celery import app


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
