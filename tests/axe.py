"""What axe finds on pages in a real browser, in the themes of the site."""

from typing import Any, Literal

from playwright.sync_api import Page

from tests.browser import Watch
from tests.environment import REPOSITORY

AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"
# The rules that look at colours: all that another theme can break.
OF_COLOURS = ["color-contrast", "link-in-text-block"]
Theme = Literal["light", "dark"]


# Half way from one theme to the other, a colour is neither's.
STILL = """() => Promise.allSettled(
  document.getAnimations()
    .filter((each) => Number.isFinite(each.effect.getComputedTiming().endTime))
    .map((each) => each.finished),
)"""


def findings(page: Page, rules: list[str] | None = None) -> list[str]:
    """What axe has to say by all of its rules, or by these, as sentences."""
    page.evaluate(STILL)
    # Through the debugger, since the page's policy lets no foreign script in.
    page.evaluate(AXE.read_text() + "; undefined")
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules is not None:
        options["runOnly"] = rules
    result: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{found['id']}: {node['target']} {node['failureSummary']}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


def look_at(page: Page, watch: Watch, paths: list[str], theme: Theme, *others: Theme) -> None:
    """Nothing is found on these pages, nor is any of them wider than the screen.

    All rules in one theme, those of colours in the others, to which a page turns as it stands.
    """
    for path in paths:
        page.emulate_media(color_scheme=theme)
        answer = page.goto(path)
        page.wait_for_load_state("load")
        if answer and not answer.ok:  # a page that says so; the browser's console does as well
            watch.complaints = [each for each in watch.complaints if "Failed to load" not in each]
        complaints = len(watch.complaints)
        found = findings(page)
        assert found == [], f"{path}: {found}"
        for other in others:
            page.emulate_media(color_scheme=other)
            page.evaluate(
                "Promise.allSettled(document.getAnimations().map((each) => each.finished))"
            )
            found = findings(page, OF_COLOURS)
            assert found == [], f"{path}, {other}: {found}"
        del watch.complaints[complaints:]  # axe itself sets styles, which the policy refuses
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"{path} is {overflow} px wider than the screen"
    assert watch.complaints == []
