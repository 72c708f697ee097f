"""Everything a program does with OpenAI's current Python library, told as JSON."""

import json
import os
import time
from typing import Any

import openai
from openai import OpenAI
from openai.types import CompletionUsage
from openai.types.responses import Response

ADDRESS, LIMITED_ADDRESS = os.environ["ADDRESS"], os.environ["LIMITED_ADDRESS"]
KEY, POOR_KEY, LIMITED_KEY = (os.environ[name] for name in ("KEY", "POOR_KEY", "LIMITED_KEY"))
MODEL, ENCODER = "starter", "all-minilm-l6-v2"
TEXTS = os.environ["TEXTS"].split("|")
PROMPT = "Once upon a time"
MESSAGES: Any = [{"role": "user", "content": "Tell me a story about a lighthouse."}]
LONG: Any = [{"role": "user", "content": "Tell me a story. " * 1000}]
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
GREEDY: Any = {"model": MODEL, "temperature": 0, "max_tokens": 40}
RESPONSE: Any = {"model": MODEL, "input": MESSAGES, "temperature": 0, "max_output_tokens": 40}


def main() -> None:
    client = OpenAI(base_url=f"{ADDRESS}/v1", api_key=KEY, max_retries=0)
    report = {
        "models": [model.id for model in client.models.list()],
        "model": client.models.retrieve(MODEL).id,
        "answers": {
            "chat": chat(client),
            "streamed chat": streamed_chat(client),
            "completion": completion(client),
            "streamed completion": streamed_completion(client),
            "response": response(client),
            "streamed response": streamed_response(client),
        },
        "calls": {"whole": call(client), "streamed": streamed_call(client)},
        "form": form(client),
        "logprobs": {"chat": chat_logprobs(client), "completion": completion_logprobs(client)},
        "embeddings": embeddings(client),
        "errors": errors(client),
        "waited_s": wait_as_told(),
        "left": leave(client),
    }
    print(json.dumps(report))


def chat(client: OpenAI) -> dict[str, Any]:
    answer = client.chat.completions.create(messages=MESSAGES, **GREEDY)
    [choice] = answer.choices
    return told(answer.id, choice.message.content, choice.finish_reason, answer.usage)


def streamed_chat(client: OpenAI) -> dict[str, Any]:
    text, reason, usage = "", None, None
    for chunk in client.chat.completions.create(
        messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **GREEDY
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return told(chunk.id, text, reason, usage)


def completion(client: OpenAI) -> dict[str, Any]:
    answer = client.completions.create(prompt=PROMPT, **GREEDY)
    [choice] = answer.choices
    return told(answer.id, choice.text, choice.finish_reason, answer.usage)


def streamed_completion(client: OpenAI) -> dict[str, Any]:
    text, reason, usage = "", None, None
    for chunk in client.completions.create(
        prompt=PROMPT, stream=True, stream_options={"include_usage": True}, **GREEDY
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.text
            reason = choice.finish_reason or reason
    return told(chunk.id, text, reason, usage)


def response(client: OpenAI) -> dict[str, Any]:
    return told_response(client.responses.create(**RESPONSE))


def streamed_response(client: OpenAI) -> dict[str, Any]:
    """Its accumulator has no final response for one that ended early; the last event has it."""
    text = ""
    with client.responses.stream(**RESPONSE) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
    assert event.type == "response.incomplete"
    assert text == event.response.output_text
    return told_response(event.response)


def told_response(made: Response) -> dict[str, Any]:
    assert made.usage is not None
    return {
        "id": made.id,
        "text": made.output_text,
        "finish_reason": made.incomplete_details and made.incomplete_details.reason,
        "usage": [made.usage.input_tokens, made.usage.output_tokens],
    }


def told(
    answer_id: str, text: str | None, reason: str | None, usage: CompletionUsage | None
) -> dict[str, Any]:
    assert usage is not None
    return {
        "id": answer_id,
        "text": text,
        "finish_reason": reason,
        "usage": [usage.prompt_tokens, usage.completion_tokens],
    }


def call(client: OpenAI) -> dict[str, Any]:
    """A call, then the answer to what it found."""
    asked: Any = [{"role": "user", "content": "What is the weather in Bern?"}]
    first = client.chat.completions.create(
        model=MODEL, messages=asked, tools=[WEATHER], tool_choice="required"
    )
    message = first.choices[0].message
    assert message.tool_calls
    [made] = message.tool_calls
    assert made.type == "function"
    found: Any = {"role": "tool", "tool_call_id": made.id, "content": "sunny"}
    second = client.chat.completions.create(
        model=MODEL, messages=[*asked, message, found], tools=[WEATHER], max_tokens=20
    )
    return {
        "name": made.function.name,
        "arguments": json.loads(made.function.arguments),
        "finish_reason": first.choices[0].finish_reason,
        "then": second.choices[0].message.role,
    }


def streamed_call(client: OpenAI) -> dict[str, Any]:
    """Through the library's own accumulator."""
    with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Bern?"}],
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    ) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    assert choice.message.tool_calls
    [made] = choice.message.tool_calls
    return {
        "name": made.function.name,
        "arguments": json.loads(made.function.arguments),
        "finish_reason": choice.finish_reason,
    }


def form(client: OpenAI) -> Any:
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=FORM)
    return json.loads(answer.choices[0].message.content or "")


def chat_logprobs(client: OpenAI) -> dict[str, Any]:
    answer = client.chat.completions.create(
        messages=MESSAGES, logprobs=True, top_logprobs=3, **GREEDY
    )
    [choice] = answer.choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    return {
        "text": choice.message.content,
        "tokens": [entry.token for entry in choice.logprobs.content],
        "logprobs": [entry.logprob for entry in choice.logprobs.content],
        "best": [entry.top_logprobs[0].logprob for entry in choice.logprobs.content],
    }


def completion_logprobs(client: OpenAI) -> dict[str, Any]:
    [choice] = client.completions.create(prompt=PROMPT, logprobs=3, **GREEDY).choices
    lists = choice.logprobs
    assert lists is not None
    return {
        "text": choice.text,
        "tokens": lists.tokens,
        "logprobs": lists.token_logprobs,
        "best": [max(top.values()) for top in lists.top_logprobs or []],
    }


def embeddings(client: OpenAI) -> dict[str, Any]:
    answer = client.embeddings.create(model=ENCODER, input=TEXTS)
    short = client.embeddings.create(model=ENCODER, input=TEXTS, dimensions=8)
    return {
        "vectors": [each.embedding for each in answer.data],
        "tokens": answer.usage.prompt_tokens,
        "short": [each.embedding for each in short.data],
    }


def errors(client: OpenAI) -> dict[str, Any]:
    limited = OpenAI(base_url=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY, max_retries=0)
    poor = client.with_options(api_key=POOR_KEY)
    ask: Any = {"model": MODEL, "messages": MESSAGES}

    def too_many() -> None:
        for _ in range(100):
            limited.chat.completions.create(**ask, max_tokens=1)

    return {
        "401": caught(client.with_options(api_key="sk-wrong").models.list),
        "404": caught(client.chat.completions.create, **ask | {"model": "gpt-9"}),
        "400": caught(client.chat.completions.create, **ask, temperature=3),
        "too long": caught(client.chat.completions.create, **ask | {"messages": LONG}),
        "402": caught(poor.chat.completions.create, **ask, max_tokens=1000),
        "429": caught(too_many),
    }


def caught(act: Any, **arguments: Any) -> dict[str, Any]:
    try:
        act(**arguments)
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
    client = OpenAI(base_url=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY, max_retries=1)
    began = time.monotonic()
    client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=1)
    return time.monotonic() - began


def leave(client: OpenAI) -> str:
    """Closes a stream after its first words."""
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, max_tokens=1500,
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    stream.close()
    return chunk.id


if __name__ == "__main__":
    main()
