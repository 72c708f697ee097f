"""Takes a picture of every page, in both languages, both themes and two widths.

`python -m tests.screenshots`, or `make screenshots`.

Starts the whole product with the fake engine and a history of made-up requests, drives Debian's
Chromium, and writes PNG files into `screenshots/` (or the folder named as the first argument).
"""

import random
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from itertools import product
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, ViewportSize, sync_playwright

from tests.environment import REPOSITORY
from tests.story.site import Site, embedded_site

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
EMAIL, PASSWORD = "alice@example.com", "correct horse battery staple"
NEWCOMER = "newcomer@example.com"
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}
PUBLIC = {
    "home": "/",
    "models": "/models/",
    "model": "/models/starter/",
    "docs": "/docs/",
    "docs-quickstart": "/docs/quickstart/",
    "docs-errors": "/docs/errors/",
    "docs-moving": "/docs/moving-from-openai/",
    "docs-management": "/docs/management-api/",
    "status": "/status/",
    "login": "/accounts/login/",
    "signup": "/accounts/signup/",
    "password-reset": "/accounts/password/reset/",
    "missing": "/nothing/",
}
SIGNED_IN = {
    "overview": "/portal/",
    "usage": "/portal/usage/?range=month",
    "usage-split": "/portal/usage/?range=month&group=key&metric=tokens",
    "usage-refused": "/portal/usage/?range=never",
    "requests": "/portal/requests/",
    "request": "/portal/requests/{request_id}/",
    "keys": "/portal/keys/",
    "key-create": "/portal/keys/new/",
    "limits": "/portal/limits/",
    "members": "/portal/members/",
    "billing": "/portal/billing/",
    "settings": "/portal/settings/",
    "playground": "/playground/",
    "account-email": "/accounts/email/",
    "account-mfa": "/accounts/2fa/",
    "account-sessions": "/accounts/sessions/",
    "account-password": "/accounts/password/change/",
}
CONSOLE = {
    "operator": "/operator/",
    "operator-models": "/operator/inference/servedmodel/",
    "operator-model": "/operator/inference/servedmodel/1/change/",
    "operator-engines": "/operator/inference/servedmodel/engines/",
    "operator-margins": "/operator/inference/servedmodel/margins/",
    "operator-prices": "/operator/billing/price/",
    "operator-price-add": "/operator/billing/price/add/",
    "operator-accounts": "/operator/billing/account/",
    "operator-grant": "/operator/billing/account/grant/",
    "operator-audit": "/operator/billing/account/audit/",
    "operator-transfers": "/operator/billing/transfer/",
    "operator-requests": "/operator/billing/usagerecord/",
    "operator-deliveries": "/operator/billing/webhookdelivery/",
    "operator-reconciliations": "/operator/billing/reconciliation/",
    "operator-organisations": "/operator/accounts/organisation/",
    "operator-users": "/operator/accounts/user/",
    "operator-keys": "/operator/accounts/apikey/",
    "operator-mails": "/operator/accounts/outgoingmail/",
}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="parlance-shots-") as data_dir,
        embedded_site(Path(data_dir), ENGINE_FAKE="true") as site,
        sync_playwright() as playwright,
    ):
        request_id = make_history(site)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for (language, locale), theme, (name, size) in product(
            LANGUAGES.items(), ("light", "dark"), SIZES.items()
        ):
            context = browser.new_context(
                viewport=size, color_scheme=theme, locale=locale, base_url=site.url
            )
            take_all(context, site, folder, f"{theme}-{name}-{language}", request_id)
            context.close()
        browser.close()


def make_history(site: Site) -> str:
    """Alice, her organisation and four hundred requests of hers; the id of the newest."""
    env = {**site.env, "SITE_DATA_DIR": str(site.data_dir)}
    done = subprocess.run(
        [sys.executable, "-c", "from tests.screenshots import write_history; write_history()"],
        cwd=REPOSITORY, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def write_history() -> None:
    """Runs in a process of its own, with the site's settings."""
    import os

    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    os.environ["DATA_DIR"] = os.environ["SITE_DATA_DIR"]  # tests.environment chose another one
    django.setup()
    from allauth.account.models import EmailAddress
    from django.utils import timezone

    from accounts import flows
    from accounts.models import User
    from billing import ledger
    from tests.portal.records import make_record

    alice = User.objects.create_user(EMAIL, PASSWORD, name="Alice", time_zone="Europe/Zurich")
    EmailAddress.objects.create(user=alice, email=EMAIL, verified=True, primary=True)
    newcomer = User.objects.create_user(NEWCOMER, PASSWORD, name="Newcomer")
    EmailAddress.objects.create(user=newcomer, email=NEWCOMER, verified=True, primary=True)
    organisation = flows.create_organisation(alice, "Acme Research")
    ledger.grant(organisation.id, 20 * 10**9, reference="grant:shots", description="A present")
    keys = [flows.create_key(organisation, alice, name)[0] for name in ("Production", "Staging")]
    chance = random.Random(7)
    record = None
    for _ in range(400):
        record = make_record(
            organisation,
            at=timezone.now() - timedelta(minutes=chance.expovariate(1 / 6000)),
            api_key_id=chance.choice([keys[0].pk, keys[0].pk, keys[1].pk, None]),
            user_id=alice.pk,
            face=chance.choice(["api", "api", "playground"]),
            uncached_tokens=chance.randint(20, 4000),
            cached_tokens=chance.choice([0, 0, 128, 512]),
            output_tokens=chance.randint(1, 900),
            ttft_ms=chance.randint(30, 240),
            duration_ms=chance.randint(300, 9000),
            outcome=chance.choice(["finished"] * 18 + ["aborted", "failed"]),
        )
    assert record is not None
    print(record.request_id)


def take_all(context: BrowserContext, site: Site, folder: Path, kind: str, request_id: str) -> None:
    page = context.new_page()
    page.on("console", lambda message: complain(page, message.type, message.text))
    page.on("pageerror", lambda error: complain(page, "error", str(error)))
    for title, path in PUBLIC.items():
        take(page, path, folder / f"{title}-{kind}.png")
    sign_in(page, NEWCOMER, "**/{welcome,portal}/")  # the first time there is no organisation yet
    take(page, "/welcome/", folder / f"welcome-{kind}.png")
    context.clear_cookies()
    sign_in(page, EMAIL, "**/portal/")
    for title, path in SIGNED_IN.items():
        address = path.format(request_id=request_id)
        take(page, address, folder / f"{title}-{kind}.png")
    context.clear_cookies()
    sign_in_as_operator(page, site)
    for title, path in CONSOLE.items():
        take(page, path, folder / f"{title}-{kind}.png")


def sign_in(page: Page, email: str, arrival: str) -> None:
    page.goto("/accounts/login/")
    page.locator("[name=login]").fill(email)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("form:has([name=password]) [type=submit]").click()
    page.wait_for_url(arrival)


def sign_in_as_operator(page: Page, site: Site) -> None:
    """By a link of `manage.py operatorlink`, which works once."""
    words = site.manage("operatorlink").split()
    page.goto(next(word for word in words if "operator-link" in word))
    page.locator("main form [type=submit]").click()
    page.wait_for_url("**/operator/")


def take(page: Page, path: str, target: Path) -> None:
    page.goto(path)
    page.wait_for_load_state("load")
    page.wait_for_timeout(250)
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if width > 0:
        print(f"{target.name}: {width} px wider than the screen")
    page.screenshot(path=target, full_page=True)


def complain(page: Page, kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        print(f"{page.url}: {kind}: {text[:300]}")


if __name__ == "__main__":
    main()
