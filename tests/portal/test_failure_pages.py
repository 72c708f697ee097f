"""Pages for what went wrong: plain, ours, and silent about the inside."""

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.views.defaults import bad_request, server_error
from psycopg.errors import ReadOnlySqlTransaction
from pytest_django.fixtures import Settings
from redis.exceptions import ConnectionError as RedisConnectionError

from billing.ledger import AccountingUnavailable
from portal import urls
from portal.failures import forbidden
from portal.urls import urlpatterns as ours


def break_down(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret of the inside")


def suspect(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("a secret of the inside")


def find_redis_away(request: HttpRequest) -> HttpResponse:
    raise RedisConnectionError("a secret of the inside")


def find_database_away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("a secret of the inside")


def find_a_standby(request: HttpRequest) -> HttpResponse:
    raise InternalError("a secret of the inside") from ReadOnlySqlTransaction()


def find_the_ledger_away(request: HttpRequest) -> HttpResponse:
    raise AccountingUnavailable("a secret of the inside") from OperationalError()


urlpatterns = [
    *ours, path("broken/", break_down), path("api/broken/", break_down), path("api/odd/", suspect),
    path("redis/", find_redis_away), path("database/", find_database_away),
    path("standby/", find_a_standby), path("ledger/", find_the_ledger_away),
    path("api/redis/", find_redis_away),
]  # fmt: skip
handler400, handler404, handler500 = urls.handler400, urls.handler404, urls.handler500


def test_a_404_gives_the_request_id_and_a_way_home(client: Client, db: None) -> None:
    response = client.get("/nothing/")
    page = response.content.decode()
    assert response.status_code == 404
    assert response["x-request-id"] in page
    assert 'href="/"' in page


@pytest.mark.urls(__name__)
def test_a_program_gets_json(db: None) -> None:
    client = Client(raise_request_exception=False)
    missing = client.get("/api/nothing/").json()["error"]
    assert missing == {
        "message": "Unknown address: GET /api/nothing/", "type": "invalid_request_error",
        "param": None, "code": "unknown_url",
    }  # fmt: skip
    response = client.get("/api/broken/")
    assert response.status_code == 500
    assert response["x-request-id"] in response.json()["error"]["message"]
    assert "secret" not in response.content.decode()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", ["/api/balance/", "/api/schema/", "/api/nothing/", "/api/balance"])
def test_a_program_that_names_another_host_gets_json(
    path: str, debug: bool, settings: Settings
) -> None:
    settings.DEBUG = debug
    response = Client().get(path, headers={"host": "elsewhere.example"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_host", "host")
    assert "x-request-id" in response


@pytest.mark.parametrize("debug", [False, True])
def test_a_person_who_names_another_host_gets_a_page(
    debug: bool, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEBUG = debug
    response = Client().get("/", headers={"host": "elsewhere.example"})
    assert response.status_code == 400
    assert "<h1>We could not read that request</h1>" in response.content.decode()
    assert "x-request-id" in response
    assert not any(record.exc_info for record in caplog.records), "a traceback tells nothing more"


@pytest.mark.urls(__name__)
def test_a_program_that_is_suspicious_gets_json() -> None:
    response = Client().get("/api/odd/")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"
    assert "secret" not in response.content.decode()


@pytest.mark.parametrize("path", ["/api/schema/", "/api/reference/"])
def test_a_wrong_method_of_what_explains_is_json(path: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post(path, {}, "application/json")
    assert response.status_code == 405
    assert response.json()["error"] == {
        "message": 'Method "POST" not allowed.', "type": "invalid_request_error",
        "param": None, "code": "method_not_allowed",
    }  # fmt: skip
    assert "GET" in response["Allow"]


@pytest.mark.urls(__name__)
def test_a_500_says_nothing_about_the_inside(db: None) -> None:
    response = Client(raise_request_exception=False).get("/broken/")
    assert response.status_code == 500
    page = response.content.decode()
    assert "Something broke on our side" in page
    assert "secret" not in page


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("path", ["/redis/", "/database/", "/standby/", "/ledger/"])
async def test_a_page_whose_services_are_away_says_when_to_come_back(path: str) -> None:
    told = await AsyncClient(raise_request_exception=False).get(path)
    assert (told.status_code, told["Retry-After"]) == (503, "5")
    page = told.content.decode()
    assert "Back in a moment" in page
    assert "secret" not in page


@pytest.mark.urls(__name__)
def test_a_program_whose_services_are_away_is_told_to_come_back() -> None:
    told = Client(raise_request_exception=False).get("/api/redis/")
    assert (told.status_code, told["Retry-After"]) == (503, "5")
    assert told.json()["error"]["code"] == "overloaded"
    assert "secret" not in told.content.decode()


def test_a_500_needs_neither_request_nor_database() -> None:
    assert "Something broke" in server_error(RequestFactory().get("/")).content.decode()


def test_a_form_without_a_token_is_refused_with_a_page(db: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post("/accounts/login/", {"login": "a@example.com", "password": "x"})
    assert response.status_code == 403
    assert "Go back, reload the page" in response.content.decode()


@pytest.mark.parametrize(("view", "status"), [(forbidden, 403), (bad_request, 400)])
def test_the_other_failures_have_pages(client: Client, db: None, view: object, status: int) -> None:
    request = client.get("/").wsgi_request
    response = view(request, Exception("a secret of the inside"))  # type: ignore[operator]
    assert response.status_code == status
    assert "secret" not in response.content.decode()


def test_every_failure_template_renders_without_a_context() -> None:
    for name in ("400", "403", "404", "403_csrf", "500", "503"):
        assert "<h1>" in render_to_string(f"{name}.html")
