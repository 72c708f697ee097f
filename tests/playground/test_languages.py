"""What the socket says of a problem: to a page in its language, to a program in English."""

import httpx
import pytest
from django.test import Client
from django.utils import translation

from inference import errors
from playground.gallery import gallery
from tests.playground.conftest import Site, run

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9"}
ENGLISH = "The model 'none' does not exist, or this key may not use it."


async def test_a_page_hears_of_a_problem_in_its_language(site: Site, alice_browser: Client) -> None:
    alice_browser.cookies["django_language"] = "zh-hans"
    async with site.page(alice_browser) as page:
        await page.say(**run(model="none"))
        *_, refused = await page.hear_until("error")
    assert refused["error"]["message"] == "模型 'none' 不存在，或此密钥无权使用。"
    assert refused["error"]["code"] == "model_not_found"


async def test_programs_hear_english_whatever_their_headers_say(site: Site, secret: str) -> None:
    headers = CHINESE | {"Authorization": f"Bearer {secret}", "Cookie": "django_language=zh-hans"}
    async with site.socket(headers=headers) as program:
        assert (await program.hear())["type"] == "ready"
        await program.say(**run(model="none"))
        *_, refused = await program.hear_until("error")
    assert refused["error"]["message"] == ENGLISH
    body = {"model": "none", "messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient(base_url=site.origin) as client:
        answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.json()["error"]["message"] == ENGLISH


def test_code_to_write_is_no_code_to_sign_in_with() -> None:
    with translation.override("zh-hans"):
        groups = [example["group"] for example in gallery()]
        assert "代码" in groups
        assert translation.gettext("Code") == "验证码"  # of an authenticator, in a library's form


def test_a_problem_is_put_into_words_when_it_is_read() -> None:
    """The task that met it has no language."""
    problem = errors.insufficient_credit(
        available_nanos=1_500_000_000, pending_nanos=2_000_000_000, ceiling_nanos=3_000_000_000,
        max_tokens=1200, limit_param="max_tokens",
    )  # fmt: skip
    english = problem.message
    assert english.startswith(
        "Not enough credit: this request may cost up to $3.00, and $1.50 is left. $2.00 more is "
        "reserved by running requests. It would fit with max_tokens of 1,200. Top up at http"
    )
    with translation.override("zh-hans"):
        chinese = problem.message
    assert "最多可能花费 US$3.00，而剩余额度为 US$1.50。另有 US$2.00 被" in chinese
    assert chinese.endswith(english.rpartition(" ")[2]), "a page makes the address a link"
    assert problem.message == english


@pytest.mark.parametrize("whose", errors.CAPS)
def test_a_cap_is_named_with_its_owner_in_both_languages(whose: str) -> None:
    for language in ("en", "zh-hans"):
        with translation.override(language):
            said = str(errors.CAPS[whose][0]) % {"cap": "$1.00"}
            assert said.endswith(":" if language == "en" else "：")
