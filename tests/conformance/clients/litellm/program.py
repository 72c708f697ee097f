"""Everything a program does with LiteLLM as its library, told as JSON."""

import json
import os
import time
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the internet for prices

import litellm
import openai

ADDRESS, LIMITED_ADDRESS = os.environ["ADDRESS"], os.environ["LIMITED_ADDRESS"]
KEY, POOR_KEY, LIMITED_KEY = (os.environ[name] for name in ("KEY", "POOR_KEY", "LIMITED_KEY"))
PROMPT = "Once upon a time"
TEXTS = os.environ["TEXTS"].split("|")
MESSAGES = [{"role": "user", "content": "Tell me a story about a lighthouse."}]
LONG = [{"role": "user", "content": "Tell me a story. " * 1000}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
FORM: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"ready": {"type": "boolean"}, "colour": {"enum": ["red", "green"]}},
            "required": ["ready", "colour"],
            "additionalProperties": False,
        },
    },
}
SITE: dict[str, Any] = {"api_base": f"{ADDRESS}/v1", "api_key": KEY, "max_retries": 0}
CHAT: dict[str, Any] = SITE | {"model": "openai/starter", "messages": MESSAGES}
TEXT: dict[str, Any] = SITE | {"model": "text-completion-openai/starter", "prompt": PROMPT}
LIMITED: dict[str, Any] = {"api_base": f"{LIMITED_ADDRESS}/v1", "api_key": LIMITED_KEY}
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 40}
STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def main() -> None:
    report = {
        "models": models(),
        "answers": {
            "chat": chat(),
            "streamed chat": gather(
                litellm.completion(**CHAT, **GREEDY, **STREAMED), lambda c: c.delta.content
            ),
            "completion": completion(),
            "streamed completion": gather(
                litellm.text_completion(**TEXT, **GREEDY, **STREAMED), lambda c: c.text
            ),
        },
        "calls": {"whole": call(), "streamed": streamed_call()},
        "form": form(),
        "logprobs": {"chat": chat_logprobs(), "completion": completion_logprobs()},
        "embeddings": embeddings(),
        "errors": errors(),
        "waited_s": wait_as_told(),
        "left": leave(),
    }
    print(json.dumps(report))


def models() -> list[str]:
    return litellm.get_valid_models(
        check_provider_endpoint=True,
        custom_llm_provider="openai",
        api_base=f"{ADDRESS}/v1",
        api_key=KEY,
    )


def chat() -> dict[str, Any]:
    answer = litellm.completion(**CHAT, **GREEDY)
    [choice] = answer.choices
    return told(answer.id, choice.message.content, choice.finish_reason, answer.usage)


def completion() -> dict[str, Any]:
    answer = litellm.text_completion(**TEXT, **GREEDY)
    [choice] = answer.choices
    return told(answer.id, choice.text, choice.finish_reason, answer.usage)


def gather(chunks: Any, text_of: Any) -> dict[str, Any]:
    text, reason, usage = "", None, None
    for chunk in chunks:
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices:
            text += text_of(choice) or ""
            reason = choice.finish_reason or reason
    return told(chunk.id, text, reason, usage)


def told(answer_id: str, text: str, reason: str | None, usage: Any) -> dict[str, Any]:
    return {
        "id": answer_id,
        "text": text,
        "finish_reason": reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def call() -> dict[str, Any]:
    """A call, then the answer to what it found."""
    asked = {"role": "user", "content": "What is the weather in Bern?"}
    settings = CHAT | {"tools": [WEATHER], "max_tokens": 60, "temperature": 0}
    first = litellm.completion(**settings | {"messages": [asked], "tool_choice": "required"})
    message = first.choices[0].message
    [made] = message.tool_calls
    found = {"role": "tool", "tool_call_id": made.id, "content": "sunny"}
    second = litellm.completion(**settings | {"messages": [asked, message, found]})
    return spelt(made, first.choices[0].finish_reason) | {"then": second.choices[0].message.role}


def streamed_call() -> dict[str, Any]:
    """Through the library's own builder."""
    asked = {"role": "user", "content": "What is the weather in Bern?"}
    settings = CHAT | {"messages": [asked], "tools": [WEATHER], "tool_choice": "required"}
    chunks = list(litellm.completion(**settings, stream=True))
    [choice] = litellm.stream_chunk_builder(chunks).choices
    [made] = choice.message.tool_calls
    return spelt(made, choice.finish_reason)


def spelt(made: Any, reason: str) -> dict[str, Any]:
    return {
        "name": made.function.name,
        "arguments": json.loads(made.function.arguments),
        "finish_reason": reason,
    }


def form() -> Any:
    answer = litellm.completion(**CHAT, response_format=FORM)
    return json.loads(answer.choices[0].message.content)


def chat_logprobs() -> dict[str, Any]:
    [choice] = litellm.completion(**CHAT, **GREEDY, logprobs=True, top_logprobs=3).choices
    entries = choice.logprobs.content
    return {
        "text": choice.message.content,
        "tokens": [entry.token for entry in entries],
        "logprobs": [entry.logprob for entry in entries],
        "best": [entry.top_logprobs[0].logprob for entry in entries],
    }


def completion_logprobs() -> dict[str, Any]:
    [choice] = litellm.text_completion(**TEXT, **GREEDY, logprobs=3).choices
    lists = choice.logprobs
    return {
        "text": choice.text,
        "tokens": lists.tokens,
        "logprobs": lists.token_logprobs,
        "best": [max(top.values()) for top in lists.top_logprobs],
    }


def embeddings() -> dict[str, Any]:
    answer = litellm.embedding(model="openai/all-minilm-l6-v2", input=TEXTS, **SITE)
    return {
        "vectors": [each["embedding"] for each in answer.data],
        "tokens": answer.usage.prompt_tokens,
    }


def errors() -> dict[str, Any]:
    def too_many() -> None:
        for _ in range(100):
            litellm.completion(**CHAT | LIMITED, max_tokens=1)

    return {
        "401": caught(lambda: litellm.completion(**CHAT | {"api_key": "sk-wrong"})),
        "404": caught(lambda: litellm.completion(**CHAT | {"model": "openai/gpt-9"})),
        "400": caught(lambda: litellm.completion(**CHAT, temperature=3)),
        "too long": caught(lambda: litellm.completion(**CHAT | {"messages": LONG})),
        "402": caught(lambda: litellm.completion(**CHAT | {"api_key": POOR_KEY}, max_tokens=1000)),
        "429": caught(too_many),
    }


def caught(act: Any) -> dict[str, Any]:
    try:
        act()
    except openai.APIError as error:  # its exceptions are made from OpenAI's
        return {
            "class": type(error).__name__,
            "status": error.status_code,  # type: ignore[attr-defined]
            "message": error.message,
        }
    raise AssertionError("nothing was raised")


def wait_as_told() -> float:
    """The limit is used up; the library waits for as long as Retry-After says, and succeeds."""
    began = time.monotonic()
    litellm.completion(**CHAT | LIMITED | {"max_retries": 1}, max_tokens=1)
    return time.monotonic() - began


def leave() -> str:
    """Closes a stream after its first words."""
    stream = litellm.completion(
        **CHAT, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    )
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.completion_stream.close()
    return str(chunk.id)


if __name__ == "__main__":
    main()
