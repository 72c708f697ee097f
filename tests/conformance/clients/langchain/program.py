"""Everything a program does with LangChain's own model classes, told as JSON."""

import json
import os
import time
from typing import Any, Literal

import httpx2
import openai
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import LLMResult
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

ADDRESS, LIMITED_ADDRESS = os.environ["ADDRESS"], os.environ["LIMITED_ADDRESS"]
KEY, POOR_KEY, LIMITED_KEY = (os.environ[name] for name in ("KEY", "POOR_KEY", "LIMITED_KEY"))
PROMPT = "Once upon a time"
TEXTS = os.environ["TEXTS"].split("|")
STORY = "Tell me a story about a lighthouse."


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Form(BaseModel):
    """What the answer is."""

    ready: bool
    colour: Literal["red", "green"]


def main() -> None:
    report = {
        "answers": {
            "chat": chat(),
            "streamed chat": streamed_chat(),
            "response": response(streamed=False),
            "streamed response": response(streamed=True),
            "completion": completion(streamed=False),
            "streamed completion": completion(streamed=True),
        },
        "calls": {"whole": call(), "streamed": streamed_call()},
        "form": form(),
        "logprobs": {"chat": logprobs()},
        "embeddings": embeddings(),
        "errors": errors(),
        "waited_s": wait_as_told(),
        "left": leave(),
    }
    print(json.dumps(report))


class Ids(list[str]):
    """The id of each answer, from its header: the library makes up ids of its own."""

    def note(self, response: httpx2.Response) -> None:
        self.append(response.headers["x-request-id"])


IDS = Ids()
SITE: dict[str, Any] = {
    "base_url": f"{ADDRESS}/v1", "api_key": KEY, "model": "starter", "temperature": 0,
    "max_retries": 0, "http_client": httpx2.Client(event_hooks={"response": [IDS.note]}),
}  # fmt: skip


def talker(**more: Any) -> ChatOpenAI:
    return ChatOpenAI(**SITE | {"stream_usage": True} | more)


def chat() -> dict[str, Any]:
    return told(talker(max_tokens=40).invoke(STORY))


def streamed_chat() -> dict[str, Any]:
    whole: Any = None
    for chunk in talker(max_tokens=40).stream(STORY):
        whole = chunk if whole is None else whole + chunk
    return told(whole)


def told(message: Any) -> dict[str, Any]:
    usage = message.usage_metadata
    return {
        "id": IDS[-1],
        "text": message.content,
        "finish_reason": message.response_metadata["finish_reason"],
        "usage": [usage["input_tokens"], usage["output_tokens"]],
    }


def call() -> dict[str, Any]:
    """A call, carried out, then the answer to what it found."""
    bound = talker(max_tokens=60).bind_tools([get_weather], tool_choice="required")
    asked = HumanMessage("What is the weather in Bern?")
    first = bound.invoke([asked])
    [made] = first.tool_calls
    found = get_weather.invoke(made)
    assert isinstance(found, ToolMessage)
    second = talker(max_tokens=20).bind_tools([get_weather]).invoke([asked, first, found])
    return {
        "name": made["name"],
        "arguments": made["args"],
        "finish_reason": first.response_metadata["finish_reason"],
        "then": {"ai": "assistant"}[second.type],
    }


def streamed_call() -> dict[str, Any]:
    bound = talker(max_tokens=60).bind_tools([get_weather], tool_choice="get_weather")
    whole: Any = None
    for chunk in bound.stream("What is the weather in Bern?"):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    [made] = whole.tool_calls
    return {
        "name": made["name"],
        "arguments": made["args"],
        "finish_reason": whole.response_metadata["finish_reason"],
    }


def form() -> Any:
    form = talker(max_tokens=60).with_structured_output(Form, method="json_schema", strict=True)
    answer = form.invoke(STORY)
    assert isinstance(answer, Form)
    return answer.model_dump()


def logprobs() -> dict[str, Any]:
    message = talker(max_tokens=40).bind(logprobs=True, top_logprobs=3).invoke(STORY)
    entries = message.response_metadata["logprobs"]["content"]
    return {
        "text": message.content,
        "tokens": [entry["token"] for entry in entries],
        "logprobs": [entry["logprob"] for entry in entries],
        "best": [entry["top_logprobs"][0]["logprob"] for entry in entries],
    }


def embeddings() -> dict[str, Any]:
    """As the documentation says: it would send ids of OpenAI's tokenizer otherwise."""
    embedder = OpenAIEmbeddings(
        base_url=f"{ADDRESS}/v1", api_key=KEY, model="all-minilm-l6-v2", max_retries=0,
        check_embedding_ctx_length=False,
    )  # fmt: skip
    return {"vectors": embedder.embed_documents(TEXTS)}


def errors() -> dict[str, Any]:
    limited = talker(base_url=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY, max_tokens=1)

    def too_many() -> None:
        for _ in range(100):
            limited.invoke(STORY)

    return {
        "401": caught(lambda: talker(api_key="sk-wrong").invoke(STORY)),
        "404": caught(lambda: talker(model="gpt-9").invoke(STORY)),
        "400": caught(lambda: talker(temperature=3).invoke(STORY)),
        "too long": caught(lambda: talker().invoke(STORY * 300)),
        "402": caught(lambda: talker(api_key=POOR_KEY, max_tokens=1000).invoke(STORY)),
        "429": caught(too_many),
    }


def caught(act: Any) -> dict[str, Any]:
    try:
        act()
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "param": error.param,
            "request_id": error.request_id,
        }
    raise AssertionError("nothing was raised")


def wait_as_told() -> float:
    """The limit is used up; the library waits for as long as Retry-After says, and succeeds."""
    began = time.monotonic()
    talker(
        base_url=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY, max_tokens=1, max_retries=1
    ).invoke(STORY)
    return time.monotonic() - began


def leave() -> str:
    """Closes a stream after its first words."""
    stream = talker(max_tokens=1500, extra_body={"ignore_eos": True}).stream(STORY)
    for chunk in stream:
        if chunk.content:
            break
    stream.close()  # type: ignore[attr-defined]
    return IDS[-1]


def response(*, streamed: bool) -> dict[str, Any]:
    """Through `/v1/responses`; its texts are lists of blocks."""
    writer = talker(max_tokens=40, use_responses_api=True)
    message: Any = None
    if streamed:
        for chunk in writer.stream(STORY):
            message = chunk if message is None else message + chunk
    else:
        message = writer.invoke(STORY)
    return {
        "id": IDS[-1],
        "text": message.text,
        "finish_reason": message.response_metadata["incomplete_details"]["reason"],
        "usage": [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]],
    }


class Heard(BaseCallbackHandler):
    """What the library tells of a completion beside its text."""

    result: LLMResult

    def on_llm_end(self, response: LLMResult, **_more: Any) -> None:
        self.result = response


def completion(*, streamed: bool) -> dict[str, Any]:
    """Through the class for texts: it returns the text alone, and tells the rest to a callback."""
    heard = Heard()
    writer = OpenAI(**SITE, max_tokens=40, callbacks=[heard])
    text = "".join(writer.stream(PROMPT)) if streamed else writer.invoke(PROMPT)
    [[generation]] = heard.result.generations
    assert generation.generation_info
    told = {
        "id": IDS[-1],
        "text": text,
        "finish_reason": generation.generation_info["finish_reason"],
    }
    if not streamed:  # the library drops a stream's usage
        usage = (heard.result.llm_output or {})["token_usage"]
        told["usage"] = [usage["prompt_tokens"], usage["completion_tokens"]]
    return told


if __name__ == "__main__":
    main()
