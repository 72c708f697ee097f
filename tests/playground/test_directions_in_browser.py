"""Answers that mix writing from right to left with writing from left to right."""

from playwright.sync_api import Browser, expect

from tests.playground.in_browser import alice, site
from tests.story.site import Site

ARABIC = "مرحبا بالعالم."
CODE = "```python\nif f(x):\n    g(x)[0]:\n```"
KEEP = """
from accounts.models import User
from playground.models import Conversation
alice = User.objects.get(email="alice@example.com")
owner = dict(user=alice, organisation=alice.organisations.get(), model="slow")
for title, text in {texts!r}.items():
    said = Conversation.objects.create(title=title, **owner)
    said.messages.create(position=0, role="user", content=title)
    said.messages.create(position=1, role="assistant", content=text)
    print(said.pk)
"""
# Where the first and the last letter of an element stand, and where it ends itself.
PLACES = """element => {
  const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
  const at = (place) => {
    const range = document.createRange();
    range.setStart(text, place);
    range.setEnd(text, place + 1);
    return range.getBoundingClientRect().left;
  };
  return [at(0), at(text.length - 1), element.getBoundingClientRect().right];
}"""


def test_each_block_has_its_own_direction_and_code_is_never_turned(
    browser: Browser,
    site: tuple[Site, str],
) -> None:
    texts = {"arabic": f"{ARABIC}\n\n{CODE}\n\nEnglish.", "english": f"English.\n\n{ARABIC}"}
    made = site[0].manage("shell", "-v0", "-c", KEEP.format(texts=texts))
    arabic, english = made.split()
    with alice(browser, site) as page:
        page.goto(f"/playground/?conversation={arabic}")
        answer = page.get_by_test_id("answer").locator("[data-text]")
        expect(answer.locator("pre code span").first).to_be_visible()  # coloured by now
        assert answer.locator("pre").evaluate("e => getComputedStyle(e).direction") == "ltr"
        first, last, _end = answer.locator("p", has_text="English").evaluate(PLACES)
        assert first < last
        page.goto(f"/playground/?conversation={english}")
        first, last, end = answer.locator("p").last.evaluate(PLACES)
        assert last < first, "the full stop stands at the left"
        assert end - first < 40, "and the text begins at the right"
