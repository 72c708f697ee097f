"""What Lighthouse says of the site's pages: as a phone sees them, strangers' and a member's."""

import json
from dataclasses import dataclass

from tests.browser import chromium_path
from tests.conformance import environments
from tests.story.site import Site, session_of

PUBLIC = ["/", "/models/", "/models/starter/", "/docs/quickstart/", "/status/", "/accounts/signup/"]
INSIDE = ["/portal/", "/portal/usage/", "/portal/requests/", "/portal/billing/", "/playground/"]
# A page takes 5 s on a machine that does nothing else.
PAGE_S = 90.0


@dataclass(frozen=True)
class Seen:
    """A page's scores out of 100 by category, and what took points away."""

    path: str
    scores: dict[str, float]
    findings: list[str]


def look_at(site: Site, paths: list[str], categories: list[str], email: str = "") -> list[Seen]:
    """Open pages of the site, signed in as `email` if it is given."""
    report = environments.run(
        "lighthouse",
        timeout_s=PAGE_S * len(paths),
        ORIGIN=site.url,
        PAGES=json.dumps(paths),
        CATEGORIES=json.dumps(categories),
        CHROME_PATH=chromium_path(),
        SESSION=session_of(site, email) if email else "",
    )
    for page in report["pages"]:
        assert page["address"] == site.url + page["path"], f"it led to {page['address']}"
    return [Seen(page["path"], page["scores"], page["findings"]) for page in report["pages"]]
