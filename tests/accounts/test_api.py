"""The management API: what a key that may manage sees and changes, and nobody else's."""

from base64 import b64encode
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import audit, flows
from accounts.authentication import KeyRefused, authenticate_key, key_cache
from accounts.models import ApiKey, Membership, Organisation, OutgoingMail, Role, Scope, User
from tests.management import Program

ADDRESSES = ["api_organisation", "api_members", "api_invitations", "api_keys"]


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    key_cache.clear()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer sk-prl-nope", "Basic YTpi"])
def test_no_key_no_answer(name: str, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = Client().get(reverse(name), headers=headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_session_is_not_a_key(name: str, alice_client: Client) -> None:
    assert alice_client.get(reverse(name)).status_code == 401


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_inference_key_cannot_manage(name: str, api_key: tuple[ApiKey, str]) -> None:
    assert Program(api_key[1])("get", name).status_code == 403


def test_no_parameter_asks_for_another_format(manager: Program) -> None:
    path = f"{reverse('api_keys')}?format=xml"
    assert Client().get(path).status_code == 401
    answer = Client().get(path, headers=manager.headers)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


def test_the_organisation_is_read_and_renamed(manager: Program, organisation: Organisation) -> None:
    assert manager("get", "api_organisation").json()["id"] == organisation.id
    assert manager("patch", "api_organisation", {"name": "New"}).json()["name"] == "New"
    assert manager("put", "api_organisation", {"name": "New"}).status_code == 405
    assert manager("delete", "api_organisation").status_code == 405


def test_a_name_that_turns_text_round_is_refused(manager: Program) -> None:
    answer = manager("patch", "api_organisation", {"name": "Acme\u202e"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "name"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "org_other"), ("multiplier_bp", 1), ("suspended_at", "2026-01-01T00:00:00Z"),
        ("created_at", "2020-01-01T00:00:00Z"), ("members", []), ("account", 1),
        ("body_retention", 1),
    ],
)  # fmt: skip
def test_a_field_that_is_not_offered_is_refused_by_name(
    field: str, value: object, manager: Program, organisation: Organisation
) -> None:
    before = Organisation.objects.filter(pk=organisation.pk).values().get()
    answer = manager("patch", "api_organisation", {"name": "New", field: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert Organisation.objects.filter(pk=organisation.pk).values().get() == before


def test_members_are_listed_without_strangers(manager: Program, bob: User, charlie: User) -> None:
    found = manager("get", "api_members").json()["results"]
    assert {row["email"] for row in found} == {"alice@example.com", "bob@example.com"}


def test_a_members_role_changes_and_they_are_removed(manager: Program, bob: User) -> None:
    member = bob.memberships.get()
    answer = manager("patch", "api_member", {"role": "viewer"}, [member.pk])
    assert answer.json()["role"] == "viewer"
    member.refresh_from_db()
    assert (member.role, member.user) == (Role.VIEWER, bob)
    assert manager("patch", "api_member", {"role": "god"}, [member.pk]).status_code == 400
    assert manager("patch", "api_member", {}, [member.pk]).status_code == 400
    assert manager("delete", "api_member", args=[member.pk]).status_code == 204
    assert not bob.memberships.exists()


def test_a_key_neither_makes_nor_unmakes_owners(
    manager: Program, bob: User, organisation: Organisation
) -> None:
    owner = organisation.memberships.get(role=Role.OWNER)
    own = bob.memberships.get()
    answers = [
        manager("patch", "api_member", {"role": "owner"}, [own.pk]),
        manager("patch", "api_member", {"role": "viewer"}, [owner.pk]),
        manager("delete", "api_member", args=[owner.pk]),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert organisation.memberships.get(role=Role.OWNER) == owner


def test_somebody_is_invited_by_mail_and_the_invitation_withdrawn(
    manager: Program, stranger: Program, bob: User, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "accounts.mail.OutboxBackend"
    carol = {"email": "carol@example.com", "role": "viewer"}
    answer = manager("post", "api_invitations", carol)
    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in carol} == carol
    assert OutgoingMail.objects.get().recipients == ["carol@example.com"]
    assert manager("get", "api_invitations").json()["results"] == [answer.json()]
    assert stranger("get", "api_invitations").json()["results"] == []
    own = [answer.json()["id"]]
    assert stranger("delete", "api_invitation", args=own).status_code == 404
    assert manager("delete", "api_invitation", args=own).status_code == 204
    assert manager("delete", "api_invitation", args=own).status_code == 404
    assert manager("get", "api_invitations").json()["results"] == []
    refusals = {
        "email": {**carol, "email": "nobody"},
        "role": {**carol, "role": "god"},
        "days": {**carol, "days": 9},
    }
    for param, body in refusals.items():
        refused = manager("post", "api_invitations", body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    member = manager("post", "api_invitations", {**carol, "email": bob.email})
    assert (member.status_code, member.json()["error"]["param"]) == (400, "email")
    owner = manager("post", "api_invitations", {**carol, "role": "owner"})
    assert owner.status_code == 403


def test_a_key_is_made_read_rotated_and_revoked(manager: Program) -> None:
    fields = {
        "name": "ci", "allowed_models": ["starter"], "ip_ranges": ["10.0.0.1/8"],
        "monthly_cap_nanos": 5, "requests_per_minute": 7, "tokens_per_minute": 8,
        "expires_at": (timezone.now() + timedelta(days=1)).isoformat(),
    }  # fmt: skip
    answer = manager("post", "api_keys", fields)
    made = answer.json()
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    assert (made["scope"], made["ip_ranges"]) == ("inference", ["10.0.0.0/8"])
    assert authenticate_key(made["secret"], "10.2.3.4", "inference").allowed_models == ("starter",)
    read = manager("get", "api_key", args=[made["id"]]).json()
    assert {**read, "secret": made["secret"], "last_used_at": None} == made
    again = manager("post", "api_key_rotate", args=[made["id"]])
    assert again.status_code == 201
    for name in ("monthly_cap_nanos", "requests_per_minute", "tokens_per_minute"):
        assert again.json()[name] == fields[name]
    assert manager("post", "api_key_rotate", args=[made["id"]]).status_code == 400
    assert manager("delete", "api_key", args=[made["id"]]).status_code == 204
    key_cache.clear()
    with pytest.raises(KeyRefused):
        authenticate_key(made["secret"], "10.2.3.4", "inference")


def test_no_secret_and_no_hash_is_listed(manager: Program, api_key: tuple[ApiKey, str]) -> None:
    listed = manager("get", "api_keys").content.decode()
    assert str(api_key[0].pk) in listed
    assert api_key[1] not in listed
    assert "hash" not in listed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("monthly_cap_nano", 5), ("monthly_cap", 5), ("Scope", "management"), ("ip_range", []),
        ("organisation", "org_other"), ("organisation_id", "org_other"), ("created_by", 1),
        ("key_hash", "00"), ("prefix", "x"), ("last_four", "x"), ("id", "00000000"),
        ("revoked_at", None), ("created_at", "2020-01-01T00:00:00Z"), ("secret", "x"),
    ],
)  # fmt: skip
def test_a_misspelt_limit_makes_no_key_without_one(
    field: str, value: object, manager: Program, api_key: tuple[ApiKey, str]
) -> None:
    before = list(ApiKey.objects.order_by("pk").values())
    for method, name, args in (("post", "api_keys", []), ("patch", "api_key", [api_key[0].pk])):
        answer = manager(method, name, {"name": "k", field: value}, args)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, field, "invalid_value")
    after = list(ApiKey.objects.order_by("pk").values())
    assert [row | {"last_used_at": None} for row in after] == [
        row | {"last_used_at": None} for row in before
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 101), ("name", None), ("name", ["x"]), ("scope", "all"),
        ("name", 5), ("name", True), ("allowed_models", [5]), ("ip_ranges", [True]),
        ("monthly_cap_nanos", "5"), ("monthly_cap_nanos", True), ("monthly_cap_nanos", 5.0),
        ("monthly_cap_nanos", -1), ("monthly_cap_nanos", 10**30), ("monthly_cap_nanos", "much"),
        ("requests_per_minute", 0), ("requests_per_minute", 2**31), ("tokens_per_minute", "5 k"),
        ("ip_ranges", ["nowhere"]), ("ip_ranges", ["10.0.0.0/8"] * 21), ("ip_ranges", "10.0.0.1"),
        ("allowed_models", [1.5, {}]), ("allowed_models", "starter"), ("expires_at", "tomorrow"),
        ("expires_at", "2001-01-01T00:00:00Z"), ("name", "k\u202e"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: object, manager: Program) -> None:
    answer = manager("post", "api_keys", {"name": "k", field: value})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"].partition("[")[0] == field
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_value")
    assert field in error["message"]
    assert not ApiKey.objects.filter(scope=Scope.INFERENCE).exists()


@pytest.mark.parametrize(
    "body",
    [
        "{", "[]", "null", '"x"', '{"name": NaN}', '{"name": "a", "name": "b"}',
        '{"name": "\\u0000"}', '{"name": "\\ud800"}', "[" * 100_000, b"\xff\xfe",
        '{"a":' * 1000 + "1" + "}" * 1000,
    ],
)  # fmt: skip
def test_json_that_is_none_is_refused(body: str | bytes, manager: Program) -> None:
    answer = manager("post", "api_keys", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"


def test_what_is_refused_is_spelt_as_it_was_sent(manager: Program) -> None:
    error = manager("post", "api_keys", '{"name": NaN}').json()["error"]
    assert error["message"] == "Invalid value for 'name': NaN is not a JSON number."


def test_a_body_that_is_too_large_is_refused(manager: Program) -> None:
    body = b'{"name": "' + b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0) + b'"}'
    assert manager("post", "api_keys", body).status_code == 413


def test_another_type_of_body_is_refused(manager: Program) -> None:
    answer = Client().post(reverse("api_keys"), {"name": "k"}, headers=manager.headers)
    assert answer.status_code == 415


def test_a_missing_field_is_named(manager: Program) -> None:
    assert manager("post", "api_keys", {}).json()["error"] == {
        "message": "Missing required parameter: 'name'.", "type": "invalid_request_error",
        "param": "name", "code": "missing_required_parameter",
    }  # fmt: skip


def test_a_key_is_changed_where_it_is_named(manager: Program, api_key: tuple[ApiKey, str]) -> None:
    key, secret = api_key
    fields = {"name": "new", "requests_per_minute": 5, "monthly_cap_nanos": 6}
    changed = manager("patch", "api_key", fields, [key.pk]).json()
    assert {name: changed[name] for name in fields} == fields
    assert changed["scope"] == "inference"
    caller = authenticate_key(secret, "", "inference")
    assert (caller.requests_per_minute, caller.monthly_cap_nanos) == (5, 6)
    assert (
        manager("patch", "api_key", {"requests_per_minute": None}, [key.pk]).json()[
            "requests_per_minute"
        ]
        is None
    )
    assert manager("patch", "api_key", {}, [key.pk]).json()["name"] == "new"
    key.refresh_from_db()
    assert (key.requests_per_minute, key.monthly_cap_nanos) == (None, 6)
    log = [entry.changes for entry in audit.entries(key.organisation)]
    assert {"requests_per_minute": ["5", "None"]} in log


def test_a_change_that_is_none_changes_nothing(
    manager: Program, api_key: tuple[ApiKey, str]
) -> None:
    key = api_key[0]
    fields = {"name": "new", "requests_per_minute": 0}
    answer = manager("patch", "api_key", fields, [key.pk])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "requests_per_minute")
    assert manager("put", "api_key", {"name": "new"}, [key.pk]).status_code == 405
    flows.revoke_key(key)
    answer = manager("patch", "api_key", {"name": "new"}, [key.pk])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    key.refresh_from_db()
    assert key.name == "test"


def test_a_member_is_read(manager: Program, stranger: Program, bob: User) -> None:
    member = bob.memberships.get()
    assert manager("get", "api_member", args=[member.pk]).json()["email"] == "bob@example.com"
    assert stranger("get", "api_member", args=[member.pk]).status_code == 404


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("get", "api_key"), ("patch", "api_key"), ("delete", "api_key"),
        ("post", "api_key_rotate"),
    ],
)  # fmt: skip
def test_another_organisations_key_is_not_found(
    method: str, name: str, stranger: Program, api_key: tuple[ApiKey, str]
) -> None:
    assert stranger(method, name, args=[api_key[0].pk]).status_code == 404
    unknown = stranger(method, name, args=[uuid4()])
    assert unknown.status_code == 404
    assert "ApiKey" not in unknown.json()["error"]["message"]
    api_key[0].refresh_from_db()
    assert api_key[0].revoked_at is None


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_another_organisations_member_is_not_found(
    method: str, stranger: Program, bob: User
) -> None:
    member = bob.memberships.get()
    body = {"role": "viewer"} if method == "patch" else None
    assert stranger(method, "api_member", body, [member.pk]).status_code == 404
    assert Membership.objects.get(pk=member.pk).role == Role.DEVELOPER


def test_pages_of_a_long_list_hold_each_row_once(
    manager: Program, organisation: Organisation
) -> None:
    for number in range(120):
        flows.create_key(organisation, None, f"k{number}")
    first = manager("get", "api_keys").json()
    second = Client().get(first["next"], headers=manager.headers).json()
    ids = [row["id"] for row in first["results"] + second["results"]]
    assert len(ids) == len(set(ids)) == 121
    assert second["next"] is None


@pytest.mark.parametrize("name", ["api_keys", "api_members", "api_transfers", "api_requests"])
@pytest.mark.parametrize(
    "inside", [b"p=abc", b"p=\0", b"r=1&p=9" + b"9" * 30, b"o=" + b"9" * 30, b"p=2020", b"\xff"]
)
def test_a_forged_cursor_is_not_found(name: str, inside: bytes, manager: Program) -> None:
    cursor = b64encode(inside).decode()
    answer = Client(raise_request_exception=False).get(
        reverse(name), {"cursor": cursor}, headers=manager.headers
    )
    assert answer.status_code in {200, 404}
    assert answer["Content-Type"] == "application/json"


def test_the_slash_at_the_end_may_be_left_out(manager: Program) -> None:
    client = Client(headers=manager.headers)
    made = client.post("/api/keys", {"name": "from a script"}, content_type="application/json")
    assert made.status_code == 201, made.content
    assert made.json()["name"] == "from a script"
    key = f"/api/keys/{made.json()['id']}"
    assert client.get(key).json()["name"] == "from a script"
    assert client.delete(key).status_code == 204
    for address in ("/api", "/api/nothing"):
        assert client.post(address).json()["error"]["code"] == "unknown_url"


def test_a_revoked_management_key_manages_no_more(manager: Program) -> None:
    flows.revoke_key(ApiKey.objects.get(scope=Scope.MANAGEMENT))
    assert manager("get", "api_organisation").status_code == 401
