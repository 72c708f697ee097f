"""The playground of a running product in a real browser: its site, its page, how one asks there."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import ANOTHER_HOST, Watch, visitor
from tests.inference.engines import FakeEngine
from tests.story.site import Site, embedded_site, session_of

HOSTILE = """# A <b>title</b>

<script>window.pwned = 1</script><img src=x onerror="window.pwned = 2">
<svg onload="window.pwned = 3"><style>body{display:none}</style></svg>

![a picture](https://evil.example/pixel.png) [click](javascript:window.pwned=4)
[data](data:text/html,<script>1</script>) [out](https://good.example/page?a=1&b=2)
<a href="https://evil.example" onclick="window.pwned=5" style="position:fixed;inset:0">x</a>

\u202ereversed\u202c and "><iframe src="https://evil.example"></iframe>

```html
<script>window.pwned = 6</script>
```

| <img src=y onerror=window.pwned=7> | b |
|---|---|
| <form action="https://evil.example"><button>go</button></form> | [q](javascript:pwned=8) |

[ref]: javascript:window.pwned=9
[ref] and `<img src=z>` and <https://good.example/auto>

half open <div><table><tr><td><img src="https://evil.example/half
"""

MAKE_ALICE = """
from accounts import flows
from accounts.models import User
from billing import ledger, pricing
from inference.models import ServedModel
alice = User.objects.create_user("alice@example.com", name="Alice")
organisation = flows.create_organisation(alice, "Acme", welcome=False)
ledger.grant(organisation.id, 10**10, reference="grant:test", description="For tests")
for position, name in enumerate(("slow", "hostile")):
    ServedModel.objects.create(name=name, position=-2 + position, max_model_len=4096)
    pricing.ensure_price(name, 10**9, 10**9, 10**9)
"""


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Site, str]]:
    """The product with two fake engines, and Alice's session."""
    words = " ".join(f"word{number}" for number in range(400))
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="parlance-playground-")
        folder = Path(stack.enter_context(temporary))
        engines = [
            FakeEngine("slow", folder=folder, fake_tokens_per_second=60, fake_text=words),
            FakeEngine("hostile", folder=folder, fake_tokens_per_second=2000, fake_text=HOSTILE),
        ]
        for engine in engines:
            stack.callback(engine.stop)
            engine.start()
        addresses = ",".join(f"{engine.model}={engine.address}" for engine in engines)
        hosts = f"localhost,{ANOTHER_HOST}"
        site = stack.enter_context(embedded_site(folder, ENGINES=addresses, ALLOWED_HOSTS=hosts))
        site.manage("shell", "-v0", "-c", MAKE_ALICE)
        wait_until_listed(site)
        yield site, session_of(site, "alice@example.com")


def wait_until_listed(site: Site) -> None:
    """The catalogue is read again every two seconds."""
    until(lambda: "hostile" in listed(site))


def listed(site: Site) -> str:
    return httpx.get(f"{site.url}/models/", timeout=60).text


def until(condition: Callable[[], bool]) -> None:
    """Unlike `wait_for_function`, which calls `eval` in the page, where its policy forbids it."""
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true")


def billed(site: Site, request_id: str | None) -> str:
    return site.query_text(
        f"SELECT cost_nanos FROM billing_usagerecord WHERE request_id = '{request_id}'"
    )


@contextmanager
def playground(
    browser: Browser, site: tuple[Site, str], model: str = "slow", script: str = ""
) -> Iterator[tuple[Page, Watch]]:
    """The page of whose session it is, ready to run; and what it complains of."""
    running, session = site
    with visitor(browser, running.url) as (page, watch):
        page.context.add_cookies([{"name": "sessionid", "value": session, "url": running.url}])
        if script:
            page.add_init_script(script)
        page.goto(f"/playground/?model={model}")
        expect(page.get_by_test_id("run")).to_be_enabled()
        yield page, watch


@contextmanager
def alice(
    browser: Browser, site: tuple[Site, str], model: str = "slow", script: str = ""
) -> Iterator[Page]:
    """Her page; whatever must not happen on it fails the test."""
    with playground(browser, site, model, script) as (page, watch):
        yield page
        assert watch.complaints == [], watch.complaints


@pytest.fixture
def page(browser: Browser, site: tuple[Site, str]) -> Iterator[Page]:
    with alice(browser, site) as page:
        yield page


def composer(page: Page) -> Locator:
    return page.locator("#composer textarea")


def ask(page: Page, text: str) -> Locator:
    composer(page).fill(text)
    page.get_by_test_id("run").click()
    return page.get_by_test_id("answer").last
