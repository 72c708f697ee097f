"""Everything a program does with LlamaIndex's class for servers like OpenAI's, told as JSON."""

import json
import os
import time
from typing import Any, Literal

import httpx
import openai
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

ADDRESS, LIMITED_ADDRESS = os.environ["ADDRESS"], os.environ["LIMITED_ADDRESS"]
KEY, POOR_KEY, LIMITED_KEY = (os.environ[name] for name in ("KEY", "POOR_KEY", "LIMITED_KEY"))
PROMPT = "Once upon a time"
TEXTS = os.environ["TEXTS"].split("|")
STORY = "Tell me a story about a lighthouse."
MESSAGES = [ChatMessage(role="user", content=STORY)]
LONG = [ChatMessage(role="user", content=STORY * 300)]
WITH_USAGE = {"stream_options": {"include_usage": True}}


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


WEATHER = FunctionTool.from_defaults(get_weather)


class Form(BaseModel):
    """What the answer is."""

    ready: bool
    colour: Literal["red", "green"]


def main() -> None:
    report = {
        "answers": {
            "chat": told(talker(max_tokens=40).chat(MESSAGES)),
            "streamed chat": streamed(
                talker(max_tokens=40, additional_kwargs=WITH_USAGE).stream_chat(MESSAGES)
            ),
            "completion": told(talker(max_tokens=40, is_chat_model=False).complete(PROMPT)),
            "streamed completion": streamed(
                talker(
                    max_tokens=40, is_chat_model=False, additional_kwargs=WITH_USAGE
                ).stream_complete(PROMPT)
            ),
        },
        "calls": {"whole": call(), "streamed": streamed_call()},
        "form": form(),
        "logprobs": {"chat": chat_logprobs()},
        "embeddings": embeddings(),
        "errors": errors(),
        "waited_s": wait_as_told(),
        "left": leave(),
    }
    print(json.dumps(report))


def talker(**more: Any) -> OpenAILike:
    settings: dict[str, Any] = {
        "api_base": f"{ADDRESS}/v1", "api_key": KEY, "model": "starter", "temperature": 0,
        "is_chat_model": True, "is_function_calling_model": True, "max_retries": 0,
        "should_use_structured_outputs": True,
    }  # fmt: skip
    return OpenAILike(**settings | more)


def told(answer: Any) -> dict[str, Any]:
    """The library keeps the object that the server sent as `raw`."""
    message = getattr(answer, "message", None)
    usage = answer.raw.usage
    return {
        "id": answer.raw.id,
        "text": answer.text if message is None else message.content,
        "finish_reason": answer.raw.choices[0].finish_reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def streamed(answers: Any) -> dict[str, Any]:
    """Its generators end with what was said in all; the chunks' raw objects tell the rest."""
    text, reason, usage = "", None, None
    for answer in answers:
        text += answer.delta or ""
        usage = answer.raw.usage or usage
        for choice in answer.raw.choices:
            reason = choice.finish_reason or reason
    return {
        "id": answer.raw.id,
        "text": text,
        "finish_reason": reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def call() -> dict[str, Any]:
    """A call, carried out, then the answer to what it found."""
    llm = talker(max_tokens=60)
    asked = ChatMessage(role="user", content="What is the weather in Bern?")
    first = llm.chat_with_tools([WEATHER], chat_history=[asked], tool_required=True)
    [made] = llm.get_tool_calls_from_response(first)
    found = ChatMessage(
        role="tool",
        content=str(WEATHER(**made.tool_kwargs)),
        additional_kwargs={"tool_call_id": made.tool_id},
    )
    second = llm.chat_with_tools([WEATHER], chat_history=[asked, first.message, found])
    return {
        "name": made.tool_name,
        "arguments": made.tool_kwargs,
        "finish_reason": first.raw.choices[0].finish_reason,
        "then": second.message.role.value,
    }


def streamed_call() -> dict[str, Any]:
    llm = talker(max_tokens=60)
    reason = None
    for answer in llm.stream_chat_with_tools(
        [WEATHER], user_msg="What is the weather in Bern?", tool_required=True
    ):
        for choice in answer.raw.choices:
            reason = choice.finish_reason or reason
    [made] = llm.get_tool_calls_from_response(answer)
    return {"name": made.tool_name, "arguments": made.tool_kwargs, "finish_reason": reason}


def form() -> Any:
    answer = talker(max_tokens=60).structured_predict(Form, PromptTemplate(STORY))
    assert isinstance(answer, Form)
    return answer.model_dump()


def chat_logprobs() -> dict[str, Any]:
    """The likeliest tokens at each place; which of them was taken, the raw object tells."""
    answer = talker(max_tokens=40, logprobs=True, top_logprobs=3).chat(MESSAGES)
    entries = answer.raw.choices[0].logprobs.content
    return {
        "text": answer.message.content,
        "tokens": [entry.token for entry in entries],
        "logprobs": [entry.logprob for entry in entries],
        "best": [top[0].logprob for top in answer.logprobs or []],
    }


def embeddings() -> dict[str, Any]:
    embedder = OpenAILikeEmbedding(
        "all-minilm-l6-v2", api_base=f"{ADDRESS}/v1", api_key=KEY, max_retries=0
    )
    return {"vectors": embedder.get_text_embedding_batch(TEXTS)}


def errors() -> dict[str, Any]:
    limited = talker(api_base=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY, max_tokens=1)

    def too_many() -> None:
        for _ in range(100):
            limited.chat(MESSAGES)

    return {
        "401": caught(lambda: talker(api_key="sk-wrong").chat(MESSAGES)),
        "404": caught(lambda: talker(model="gpt-9").chat(MESSAGES)),
        "400": caught(lambda: talker(additional_kwargs={"temperature": 3}).chat(MESSAGES)),
        "too long": caught(lambda: talker().chat(LONG)),
        "402": caught(lambda: talker(api_key=POOR_KEY, max_tokens=1000).chat(MESSAGES)),
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
    talker(api_base=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY, max_tokens=1, max_retries=2).chat(
        MESSAGES
    )
    return time.monotonic() - began


def leave() -> str:
    """Ends after a stream's first words: the library itself would let go of it with the program."""
    settings = {"extra_body": {"ignore_eos": True}}
    with httpx.Client() as connections:
        llm = talker(max_tokens=1500, additional_kwargs=settings, http_client=connections)
        for answer in llm.stream_chat(MESSAGES):
            if answer.delta:
                break
    return str(answer.raw.id)


if __name__ == "__main__":
    main()
