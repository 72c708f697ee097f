"""A site with something on every page, and a look at each with axe, in a real browser."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests import axe
from tests.browser import Watch, visitor
from tests.screenshots import sign_in, sign_in_as_operator
from tests.shown_pages import CONSOLE, EMPTY, PLAYGROUND, PUBLIC, SIGNED_IN, WELCOME
from tests.shown_site import EMAIL, NEWCOMER, make_history
from tests.story.site import Site, embedded_site

# Each of a sequence's tokens; an answer takes long enough to be stopped.
SLOWLY = "--fake-tokens-per-second 20"


@dataclass(frozen=True)
class Filled:
    site: Site
    ids: dict[str, str]  # of what is there

    def paths(self, shown: dict[str, str]) -> list[str]:
        return [path.format(**self.ids) for path in shown.values()]


@contextmanager
def filled_site() -> Iterator[Filled]:
    """Stripe is configured, for what pages show then, and nobody answers at its address."""
    stripe = {"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x",
              "STRIPE_API_BASE": "http://127.0.0.1:9", "WELCOME_CREDIT": "5.00"}  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="parlance-browser-") as folder,
        embedded_site(Path(folder), ENGINE_FAKE="true", ENGINE_ARGS=SLOWLY, **stripe) as started,
    ):
        yield Filled(started, make_history(started))


def look_at_every_page(
    browser: Browser, filled: Filled, themes: list[axe.Theme], **options: object
) -> None:
    """Of visitors, a newcomer, a member and an operator, in a browser with these options.

    axe finds nothing in any of the themes, and nothing is wider than the screen.
    """

    def look(page: Page, watch: Watch, shown: dict[str, str]) -> None:
        axe.look_at(page, watch, filled.paths(shown), *themes)

    with visitor(browser, filled.site.url, **options) as (page, watch):
        look(page, watch, PUBLIC)
        sign_in(page, NEWCOMER, "**/{welcome,portal}/")
        look(page, watch, WELCOME | EMPTY)
        page.context.clear_cookies()
        sign_in(page, EMAIL, "**/portal/")
        look(page, watch, SIGNED_IN | PLAYGROUND)
        page.context.clear_cookies()
        sign_in_as_operator(page, filled.site)
        look(page, watch, CONSOLE)
