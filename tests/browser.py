"""A real Chromium for tests: found on the machine, or the test skips with a visible reason.

With CI=true a missing browser is a failure. Pages are watched: an uncaught error, a blocked
resource or a request that leaves the origin fails the test.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.environment import CI

# For what a page does, and for what is expected of it: a machine may be busy with other things.
PATIENCE_MS = 40_000
# Leads to this machine, and is no `localhost`: by http it lacks what browsers keep for https.
ANOTHER_HOST = "parlance.test"
# What Chromium does without. The last list counts, so all but the last two, which are its address
# bar's, repeat Playwright's (chromiumSwitches.ts). The bar is made of pages that nobody sees in
# each new window: renderers of its own, more than half of what a window takes of the processor.
WITHOUT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding",
    "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints",
    "NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch",
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup",
)  # fmt: skip


def chromium_path() -> str:
    """Where Chromium is; skips, or fails in CI, when there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if CI:
        pytest.fail("Chromium is missing (Debian: apt-get install chromium)")
    pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    path = chromium_path()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                f"--disable-features={','.join(WITHOUT)}",
                f"--host-resolver-rules=MAP {ANOTHER_HOST} localhost",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """Collects what must not happen on any page of a context."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.complaints: list[str] = []

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console on {message.location.get('url')}: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlparse(request.url)
        if parts.scheme in {"data", "blob"}:
            return
        if f"{parts.scheme}://{parts.netloc}".replace("ws://", "http://") != self.origin:
            self.complaints.append(f"left the origin: {request.url}")


@contextmanager
def visitor(browser: Browser, origin: str, **options: object) -> Iterator[tuple[Page, Watch]]:
    """A page in a fresh context (no cookies), watched."""
    context: BrowserContext = browser.new_context(base_url=origin, **options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(origin)
    context.on("page", watch.follow)
    try:
        yield context.new_page(), watch
    finally:
        context.close()
