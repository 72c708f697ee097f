"""LaTeX in an answer is set as formulas; prices, code and what nobody can set stay as written."""

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.playground.in_browser import composer, page, site

ANSWER = r"""The roots of $ax^2 + bx + c = 0$ cost between $5 and $10, and are

\[
x_{1,2} = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}
\]

with \(a \ne 0\), `$code$` too. $$\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$$

| Case | Sum |
|---|---|
| one | $\sum_{i=1}^{n} i$ |
"""
HOSTILE = [
    r"\href{javascript:window.pwned=1}{x}",
    r"\includegraphics{https://evil.example/pixel.png}",
    r"\style{position:fixed;inset:0}{x}",
    r"\def\a{\a\a}\a",
    r"\frac{1}",
    r"\raisebox{-9999em}{x}",
    r"a\kern{-9999em}b",
    r"a\hspace{-500pt}b",
    r"\rule[-9999em]{1em}{1em}",
    r"\text{<img src=x onerror=window.pwned=2>}\class{turn}{x}",
]


def answered(page: Page, text: str) -> Locator:
    """Puts a text in the place of an answer, as who gives a model examples does."""
    for each in ("Say it in LaTeX.", text):
        composer(page).fill(each)
        page.get_by_role("button", name="Add", exact=True).click()
    return page.locator(".turn[data-role=assistant]").last.locator("[data-text]")


def test_formulas_are_set_among_prices_and_code(page: Page) -> None:
    answer = answered(page, ANSWER)
    expect(answer.locator("math mfrac")).to_have_count(1)
    expect(answer.locator(".formula > math")).to_have_count(5)
    expect(answer.locator("div.formula > math[display=block]")).to_have_count(2)
    expect(answer).to_contain_text("cost between $5 and $10, and are")
    expect(answer.locator("code")).to_have_text("$code$")
    # Its styles are no inline ones for the policy: columns of the matrix stand apart.
    padding = "cell => getComputedStyle(cell).paddingRight"
    assert answer.locator("mtd").first.evaluate(padding) != "0px"


def test_a_long_formula_of_a_phone_scrolls_by_itself(page: Page) -> None:
    terms = " + ".join(f"x_{{{n}}}" for n in range(40))
    answer = answered(page, f"\\[ {terms} \\]\n\nand \\( {terms} \\)")
    page.set_viewport_size({"width": 390, "height": 844})
    for scrolls in (answer.locator("div.formula"), answer.locator("p:has(span.formula)")):
        expect(scrolls).to_have_count(1)
        assert scrolls.evaluate("it => it.scrollWidth > it.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("latex", HOSTILE)
def test_what_cannot_be_set_stays_as_written_and_harms_nothing(page: Page, latex: str) -> None:
    answer = answered(page, rf"Set \( {latex} \) and $b$.")
    expect(answer.locator("math")).to_have_count(1)  # the other one
    expect(answer.locator("code")).to_have_text(rf"\( {latex} \)")
    assert answer.locator("a, img, [style*=position]").count() == 0
    assert page.evaluate("window.pwned") is None


def test_no_library_is_fetched_before_there_is_a_formula(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(answered(page, "costs $5")).to_have_text("costs $5")
    assert not any("temml" in url for url in asked)
    expect(answered(page, "costs $x$").locator("math")).to_have_count(1)
    assert any("temml" in url for url in asked)
