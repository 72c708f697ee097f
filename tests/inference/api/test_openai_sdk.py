"""OpenAI's current client library, unmodified and strict, over a fake engine.

This and others against a live site: `tests/conformance/`.
"""

import subprocess
import sys
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI

from accounts.models import ApiKey
from tests.environment import REPOSITORY
from tests.inference.conftest import Books


@pytest.fixture
async def client(base_url: str, secret: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=secret, _strict_response_validation=True, timeout=30
    ) as client:
        yield client


HELLO = [{"role": "user", "content": "hello"}]


async def test_a_chat(client: AsyncOpenAI, books: Books) -> None:
    answer = await client.chat.completions.create(
        model="starter", messages=HELLO, max_tokens=20, logprobs=True, top_logprobs=2, n=2
    )
    assert answer.choices[1].message.content == answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 40
    assert answer.choices[0].logprobs is not None
    assert (await books.record()).output_tokens == 40


async def test_a_streamed_chat(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-3.5-turbo", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith('You wrote: "hello"')
    assert "👋🏽" in text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


async def test_the_helper_that_accumulates(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="starter", messages=HELLO) as stream:
        async for _event in stream:
            pass
        final = await stream.get_final_completion()
    assert final.choices[0].finish_reason == "stop"
    assert final.choices[0].message.content


async def test_completions(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="text-davinci-003", prompt=["a", "b"], max_tokens=5, logprobs=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].finish_reason == "length"


async def test_streamed_completions(base_url: str, secret: str) -> None:
    # Not strict: by its types every chunk has a finish reason, which would be a lie.
    async with AsyncOpenAI(base_url=f"{base_url}/v1", api_key=secret) as client:
        stream = await client.completions.create(
            model="starter", prompt="abc", max_tokens=5, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].text for c in chunks).startswith("You wrote")
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_models(client: AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert listed == ["starter", "slow"]
    assert (await client.models.retrieve("gpt-4o-mini")).id == "starter"


async def test_errors_become_the_right_exceptions(
    client: AsyncOpenAI, api_key: tuple[ApiKey, str]
) -> None:
    once = client.with_options(max_retries=0)
    with pytest.raises(openai.NotFoundError) as missing:
        await once.chat.completions.create(model="gpt-9", messages=HELLO)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        await once.chat.completions.create(model="starter", messages=HELLO, temperature=3)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        await once.chat.completions.create(model="starter", messages=HELLO, max_tokens=10**6)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        await once.with_options(api_key="sk-wrong").models.list()
    with pytest.raises(openai.BadRequestError) as other:
        await once.embeddings.create(model="starter", input="x")
    assert (other.value.code, other.value.param) == ("wrong_kind_of_model", "model")
    assert other.value.request_id is not None
    assert other.value.request_id.startswith("req_")


async def test_a_hang_up_by_the_library(client: AsyncOpenAI, books: Books) -> None:
    stream = await client.chat.completions.create(
        model="slow", messages=HELLO, stream=True, max_tokens=1000
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    await stream.close()
    [record] = await books.settled(1)
    assert record.outcome == "aborted"


def test_the_web_side_never_imports_torch() -> None:
    program = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'portal.settings';"
        "django.setup(); import inference.api.app, inference.service;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)
