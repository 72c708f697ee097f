"""Presets and their versions, and links to snapshots: whose they are and what they may say."""

import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts import audit, flows
from accounts.models import Membership, Organisation, Role, User
from inference import catalog
from playground import presets, snapshots
from playground.models import (
    Audience,
    Conversation,
    Preset,
    PresetVersion,
    Snapshot,
)
from playground.triggers import check_triggers

CONTENT = {
    "model": "starter",
    "messages": [{"role": "system", "content": "Be {{tone}}"}],
    "parameters": {"temperature": 0.5, "tools": []},
    "variables": {"tone": "brief"},
}


@pytest.fixture(autouse=True)
def starter(db: None) -> None:
    catalog.ensure_starter()


def post(client: Client, path: str, body: object, **options: Any) -> HttpResponse:
    response: HttpResponse = client.post(
        path, json.dumps(body), content_type="application/json", **options
    )
    return response


def save(client: Client, name: str = "Mine", **change: Any) -> HttpResponse:
    return post(client, "/playground/presets/", {"name": name, "content": {**CONTENT, **change}})


def test_a_page_of_one_organisation_changes_nothing_in_another(
    alice: User, alice_client: Client, organisation: Organisation, kept: Conversation
) -> None:
    """Which another tab has chosen since."""
    second = flows.create_organisation(alice, "Second", welcome=False)
    alice_client.post(reverse("organisation_switch"), {"organisation": second.pk})
    body, delete = (
        {"name": "Mine", "content": CONTENT},
        f"/playground/conversations/{kept.pk}/delete/",
    )
    old_page = {"X-Page-Of": organisation.pk}
    for path, sent in (("/playground/presets/", body), (delete, {})):
        answer = post(alice_client, path, sent, headers=old_page)
        assert answer.status_code == 409
        assert "You are in Second now" in json.loads(answer.content)["error"]["message"]
    assert not Preset.objects.exists()
    assert alice_client.get("/playground/conversations/", headers=old_page).status_code == 409
    own = post(alice_client, "/playground/presets/", body, headers={"X-Page-Of": second.pk})
    assert own.status_code == 201


def test_saving_under_a_name_again_makes_the_next_version(alice_client: Client) -> None:
    first = json.loads(save(alice_client).content)
    assert (first["name"], first["number"]) == ("Mine", 1)
    assert json.loads(save(alice_client).content)["number"] == 1  # nothing has changed
    second = json.loads(save(alice_client, model="slow").content)
    assert (second["id"], second["number"]) == (first["id"], 2)
    listed = alice_client.get("/playground/presets/").json()["presets"]
    assert listed == [{"id": first["id"], "name": "Mine", "number": 2}]
    path = f"/playground/presets/{first['id']}/"
    assert alice_client.get(path).json()["content"]["model"] == "slow"
    old = alice_client.get(path + "?version=1").json()
    assert old["content"]["model"] == "starter"
    assert old["content"]["variables"] == {"tone": "brief"}
    assert [each["number"] for each in old["versions"]] == [2, 1]
    for missing in ("3", "0", "x", "9" * 30):
        assert alice_client.get(f"{path}?version={missing}").status_code == 404
    page = alice_client.get(f"/playground/?preset={first['id']}")
    assert page.context["data"]["conversation"]["model"] == "slow"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"content": CONTENT}, "name"),
        ({"name": " ", "content": CONTENT}, "name"),
        ({"name": "x" * 81, "content": CONTENT}, "name"),
        ({"name": "a", "content": {**CONTENT, "price": 1}}, "content.price"),
        ({"name": "a", "content": {**CONTENT, "mode": "poem"}}, "content.mode"),
        (
            {"name": "a", "content": {**CONTENT, "parameters": {"temperature": 3}}},
            "content.parameters.temperature",
        ),
        ({"name": "a", "content": {**CONTENT, "variables": {"a": 1}}}, "content.variables.a"),
    ],
)
def test_a_preset_that_is_none_is_refused_by_its_field(
    alice_client: Client, body: object, param: str
) -> None:
    response = post(alice_client, "/playground/presets/", body)
    assert (response.status_code, json.loads(response.content)["error"]["param"]) == (400, param)
    assert not Preset.objects.exists()


def test_a_preset_is_its_owners_alone(
    alice_client: Client, bob_client: Client, charlie_client: Client
) -> None:
    made = json.loads(save(alice_client).content)
    path = f"/playground/presets/{made['id']}/"
    for other in (bob_client, charlie_client):
        assert other.get(path).status_code == 404
        assert other.get(f"/playground/?preset={made['id']}").status_code == 404
        assert other.post(path + "delete/").status_code == 404
        assert other.get("/playground/presets/").json() == {"presets": []}
    assert json.loads(save(bob_client).content)["id"] != made["id"]  # names are one's own
    assert alice_client.post(path + "delete/").status_code == 204
    assert PresetVersion.objects.filter(preset_id=made["id"]).count() == 0


def test_the_database_keeps_names_and_versions_once(
    alice: User, organisation: Organisation
) -> None:
    mine = {"user": alice, "organisation": organisation}
    preset = Preset.objects.create(name="Mine", **mine)
    preset.versions.create(number=1, content={})
    for broken in (
        lambda: Preset.objects.create(name="Mine", **mine),
        lambda: Preset.objects.create(name="", **mine),
        lambda: preset.versions.create(number=1, content={}),
        lambda: preset.versions.create(number=0, content={}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            broken()


def share(client: Client, kept: Conversation, audience: str) -> dict[str, Any]:
    path = f"/playground/conversations/{kept.id}/snapshots/"
    response = post(client, path, {"audience": audience})
    assert response.status_code == 201
    made: dict[str, Any] = json.loads(response.content)
    return made


def test_a_link_for_anyone_shows_the_answer_and_nothing_private(
    alice_client: Client, client: Client, kept: Conversation
) -> None:
    made = share(alice_client, kept, "anyone")
    page = client.get(made["url"])
    assert page.status_code == 200
    shown = page.content.decode()
    assert "&lt;b&gt;No&lt;/b&gt;, 100% dry" in shown
    assert "Rain in Zug" in shown
    for private in ("123456", "req_1", "alice@example.com", "Acme"):
        assert private not in shown
    assert page["X-Robots-Tag"] == "noindex"


def test_a_link_for_the_organisation_is_for_its_members(
    alice_client: Client,
    bob_client: Client,
    charlie_client: Client,
    client: Client,
    kept: Conversation,
) -> None:
    made = share(alice_client, kept, "organisation")
    path = f"/playground/shared/{made['id']}/"
    assert bob_client.get(path).status_code == 200
    opened = bob_client.get(f"/playground/?snapshot={made['id']}")
    assert opened.context["data"]["conversation"]["messages"][0]["content"] == "Rain?"
    assert charlie_client.get(path).status_code == 404
    assert charlie_client.get(f"/playground/?snapshot={made['id']}").status_code == 404
    assert client.get(path).status_code == 302
    assert client.get("/playground/shared/snap_none/").status_code == 302
    Membership.objects.filter(user__email="bob@example.com").delete()
    assert bob_client.get(path).status_code == 404


def test_what_anyone_may_read_is_in_the_audit_log(
    alice_client: Client, alice: User, kept: Conversation
) -> None:
    made = share(alice_client, kept, "anyone")
    inside = share(alice_client, kept, "organisation")
    path = f"/playground/snapshots/{made['id']}/"
    for audience in ("anyone", "organisation", "organisation", "anyone"):
        post(alice_client, path, {"audience": audience})
    post(alice_client, path + "delete/", {})
    again = share(alice_client, kept, "anyone")
    assert alice_client.post(f"/playground/conversations/{kept.id}/delete/").status_code == 204
    log = audit.entries(kept.organisation).filter(changes__has_key="public_link")
    noted = [entry.changes["public_link"] for entry in log.reverse()]
    first, second = made["id"], again["id"]
    assert noted == [
        ["made", first], ["withdrawn", first], ["made", first], ["withdrawn", first],
        ["made", second], ["withdrawn", second],
    ]  # fmt: skip
    assert {entry.actor for entry in log} == {alice}
    page = alice_client.get("/portal/members/").content.decode()
    assert f"Public link withdrawn: /playground/shared/{second}/" in page
    assert inside["id"] not in page


@pytest.mark.parametrize("path", ["presets/", "code/", "snapshots/{}/"])
def test_a_form_is_refused_as_what_is_no_json(
    alice_client: Client, kept: Conversation, path: str
) -> None:
    """Whoever is asked for a token has the form taken apart before a view sees it."""
    link = share(alice_client, kept, "anyone")["id"]
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = alice_client.cookies
    browser.get("/playground/")
    token = browser.cookies["csrftoken"].value
    sent = {"csrfmiddlewaretoken": token, "audience": "anyone"}
    response = browser.post(f"/playground/{path.format(link)}", sent)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


def test_what_a_link_shows_stays_as_it_was_and_who_may_see_it_changes(
    alice_client: Client, client: Client, charlie_client: Client, kept: Conversation
) -> None:
    made = share(alice_client, kept, "anyone")
    kept.messages.update(content="changed")
    assert "100% dry" in client.get(made["url"]).content.decode()
    path = f"/playground/snapshots/{made['id']}/"
    assert post(charlie_client, path, {"audience": "anyone"}).status_code in {302, 404}
    assert post(alice_client, path, {"audience": "all"}).status_code == 400
    assert post(alice_client, path, {"audience": "organisation"}).status_code == 204
    assert client.get(made["url"]).status_code == 302
    listed = alice_client.get(f"/playground/conversations/{kept.id}/snapshots/").json()
    assert [each["audience"] for each in listed["snapshots"]] == ["organisation"]
    assert alice_client.post(path + "delete/").status_code == 204
    assert alice_client.post(path + "delete/").status_code == 404


def test_the_database_refuses_to_change_what_a_link_shows(
    alice_client: Client, kept: Conversation
) -> None:
    made = share(alice_client, kept, "anyone")
    snapshot = Snapshot.objects.get(pk=made["id"])
    for changes in ({"content": {}}, {"created_at": kept.created_at}, {"id": "snap_other"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Snapshot.objects.filter(pk=snapshot.pk).update(**changes)
    snapshot.audience = "organisation"
    snapshot.save(update_fields=["audience"])
    assert Snapshot.objects.get(pk=snapshot.pk).content == snapshot.content


def test_the_database_refuses_to_change_a_version_of_a_preset(alice_client: Client) -> None:
    save(alice_client, "a")
    with pytest.raises(IntegrityError), transaction.atomic():
        PresetVersion.objects.update(content={})
    assert PresetVersion.objects.get().content["model"] == "starter"
    Preset.objects.get().delete()
    assert not PresetVersion.objects.exists()


def test_a_missing_trigger_is_complained_of(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER playground_snapshot_no_update")
    [complaint] = check_triggers(None, ["default"])
    assert "playground_snapshot_no_update" in complaint.msg


def test_a_link_goes_with_its_conversation(alice_client: Client, kept: Conversation) -> None:
    share(alice_client, kept, "anyone")
    alice_client.post(f"/playground/conversations/{kept.id}/delete/")
    assert not Snapshot.objects.exists()


def test_a_link_rests_while_its_maker_could_not_withdraw_it(
    bob: User, bob_client: Client, alice_client: Client, client: Client, organisation: Organisation
) -> None:
    said = Conversation.objects.create(
        organisation=organisation, user=bob, title="Plans", model="starter"
    )
    addresses = [share(bob_client, said, audience)["url"] for audience in Audience.values]

    def seen() -> set[int]:
        return {alice_client.get(address).status_code for address in addresses}

    assert seen() == {200}
    member = bob.memberships.get()
    for role, seen_then in ((Role.VIEWER, {404}), (Role.DEVELOPER, {200})):
        flows.change_role(member, role)
        assert seen() == seen_then
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert seen() == {404}
    User.objects.filter(pk=bob.pk).update(is_active=True)
    flows.remove_member(member)
    assert seen() == {404}
    assert client.get(addresses[0]).status_code == 302


def test_nobody_shares_what_is_not_theirs(bob_client: Client, kept: Conversation) -> None:
    path = f"/playground/conversations/{kept.id}/snapshots/"
    assert post(bob_client, path, {"audience": "anyone"}).status_code == 404
    assert bob_client.get(path).status_code == 404


def test_history_is_searched_in_titles_and_texts(
    alice_client: Client, bob_client: Client, kept: Conversation
) -> None:
    def found(words: str, client: Client = alice_client) -> bool:
        page = client.get("/playground/conversations/", {"q": words}).content.decode()
        return kept.id in page

    assert found("zug")
    assert found("dry rain")
    assert found("100%")
    assert not found("zug snow")
    assert not found("100_")
    assert not found("zug", bob_client)
    assert found("\0")


def test_presets_and_links_have_an_end_and_old_versions_go(
    alice_client: Client, kept: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "MAX_PRESETS", 2)
    monkeypatch.setattr(presets, "MAX_VERSIONS", 3)
    monkeypatch.setattr(snapshots, "MAX_LINKS", 2)
    assert [save(alice_client, name).status_code for name in "ab"] == [201, 201]
    third = save(alice_client, "c")
    assert (third.status_code, json.loads(third.content)["error"]["param"]) == (400, "name")
    assert "You have 2 presets; delete one first." in third.content.decode()
    assert sorted(Preset.objects.values_list("name", flat=True)) == ["a", "b"]
    for number in range(5):
        assert save(alice_client, "a", model=f"m{number}").status_code == 201
    numbers = PresetVersion.objects.filter(preset__name="a").values_list("number", flat=True)
    assert list(numbers) == [6, 5, 4]
    path = f"/playground/conversations/{kept.id}/snapshots/"
    made = [post(alice_client, path, {"audience": "anyone"}) for _ in range(3)]
    assert [each.status_code for each in made] == [201, 201, 400]
    assert "at most 2 links" in made[-1].content.decode()
