"""The operator's page of engines: what runs, and load, drain and unload."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organisation, User
from inference import service
from inference.models import ModelState, ServedModel
from portal.lib.db import db
from tests.conftest import make_user, signed_in
from tests.portal.records import make_record

PAGE = "/operator/inference/servedmodel/engines/"


def operator(**fields: bool) -> Client:
    user = make_user("operator@example.com", "Operator")
    User.objects.filter(pk=user.pk).update(is_staff=True, **fields)
    if not fields:
        user.user_permissions.add(Permission.objects.get(codename="view_servedmodel"))
    return signed_in(User.objects.get(pk=user.pk))


async def test_it_shows_each_engine_and_why_one_does_not_run(running: service.Service) -> None:
    def page() -> str:
        ServedModel.objects.create(name="broken", source="x", problem="It has no attention layers.")
        return operator(is_superuser=True).get(PAGE).content.decode()

    shown = await db(page)
    [link] = [link for link in running.pool.links if link.model == "starter"]
    row = shown.partition(f"<td>{link.address}</td>")[2].partition("</tr>")[0]
    assert "ready" in row
    assert "cpu, float32" in row
    assert "0%" in row
    assert "It has no attention layers." in shown
    assert "None is running." in shown.partition("broken")[2]
    assert {"Load", "Drain", "Unload"} <= set(shown.replace("<", ">").split(">"))


def change(client: Client, **fields: str) -> str:
    response = client.post(PAGE, {"model": "a", **fields}, follow=True)
    return str(response.status_code) + response.content.decode()


def test_an_operator_loads_drains_and_unloads(db: None) -> None:
    client = operator(is_superuser=True)
    ServedModel.objects.create(name="a", source="x")
    for state in (ModelState.DRAINED, ModelState.UNLOADED, ModelState.LOADED):
        assert "What runs" in change(client, state=state) or state == ModelState.LOADED
        assert ServedModel.objects.get().state == state
    change(client, state="loaded", num_engines="3")
    assert ServedModel.objects.get().num_engines == 3
    assert "1 to 16 engines, not 99" in change(client, state="loaded", num_engines="99")
    assert "There is no model" in change(client, model="b", state="loaded")
    assert "is not a valid ModelState" in change(client, state="asleep")
    assert ServedModel.objects.get().num_engines == 3
    history = reverse("admin:inference_servedmodel_history", args=[ServedModel.objects.get().pk])
    told = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
    assert told == ["drained", "unloaded", "loaded", "loaded, 3"], "who did what stays known"
    assert "operator@example.com" in client.get(history).content.decode()


def test_the_form_of_a_model_says_what_its_fields_take(db: None) -> None:
    page = operator(is_superuser=True).get(reverse("admin:inference_servedmodel_add"))
    assert "or its id at Hugging Face" in page.content.decode()


def test_who_may_only_look_changes_nothing(db: None) -> None:
    client = operator()
    ServedModel.objects.create(name="a", source="x")
    shown = client.get(PAGE).content.decode()
    assert "None is running." in shown
    assert "Unload</button>" not in shown
    assert change(client, state="unloaded").startswith("403")
    assert ServedModel.objects.get().state == ModelState.LOADED


@pytest.mark.parametrize("method", ["put", "delete"])
def test_other_methods_are_refused(db: None, method: str) -> None:
    assert getattr(operator(is_superuser=True), method)(PAGE).status_code == 405


def test_strangers_are_sent_away(alice_client: Client) -> None:
    assert alice_client.get(PAGE).status_code in {302, 403, 404}
    assert alice_client.post(PAGE, {"model": "a", "state": "unloaded"}).status_code != 200


def test_it_says_whose_requests_a_model_served_in_the_last_hour(
    organisation: Organisation, charlie: User
) -> None:
    other = charlie.memberships.get().organisation
    make_record(organisation, uncached_tokens=60, cached_tokens=500, output_tokens=15)
    make_record(other, uncached_tokens=15, cached_tokens=0, output_tokens=10)
    make_record(other, at=timezone.now() - timedelta(hours=2), output_tokens=999)
    page = operator(is_superuser=True).get(PAGE).content.decode()
    assert "Acme 75% · Other 25%" in page


def test_organisations_of_one_name_have_a_share_each(
    organisation: Organisation, charlie: User
) -> None:
    other = charlie.memberships.get().organisation
    other.name = organisation.name
    other.save(update_fields=["name"])
    make_record(organisation, uncached_tokens=60, output_tokens=15)
    make_record(other, uncached_tokens=20, output_tokens=5)
    page = operator(is_superuser=True).get(PAGE).content.decode()
    assert "Acme 75% · Acme 25%" in page
