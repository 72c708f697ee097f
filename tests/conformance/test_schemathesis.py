"""Schemathesis, made from our own OpenAPI document, finds nothing: no 5xx, no other answer than
promised, nothing invalid taken, and no route that answers without its key."""

import json

import httpx

from tests.conformance import environments
from tests.story.site import Site


def test_the_site_keeps_to_its_own_document(unhurried_site: Site) -> None:
    site = unhurried_site
    email = "schema@example.com"
    management = [
        site.manage("issuekey", "--email", email, "--name", name, "--scope", "management").strip()
        for name in ("manages", "spare")
    ]
    report = environments.run(
        "schemathesis", SITE=site.url, INFERENCE_KEY=site.issue_key(email, "1000"),
        MANAGEMENT_KEY=management[0], SPARE_KEY=management[1],
    )  # fmt: skip
    described = sum(
        len(item) for item in httpx.get(f"{site.url}/api/schema/").json()["paths"].values()
    )
    for part in report.values():
        assert part["complete"], part["said"]
        assert not part["failures"], json.dumps(part["failures"], indent=1)[:6000]
        assert not part["errors"], json.dumps(part["errors"], indent=1)[:6000]
    tested = report["inference"]["tested"] + report["management"]["tested"]
    assert tested + 2 == described  # of the third part, two are its own
    assert sum(part["cases"] for part in report.values()) > 2_000
    for key in management:  # what was tried was tried with rights, to the end
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.get(f"{site.url}/api/balance/", headers=headers).status_code == 200
    site.audit()
