"""Everything a program does with Anthropic's library, told as JSON."""

import json
import os
import time
from typing import Any, Literal

import anthropic
from anthropic import Anthropic
from pydantic import BaseModel

ADDRESS, LIMITED_ADDRESS = os.environ["ADDRESS"], os.environ["LIMITED_ADDRESS"]
KEY, POOR_KEY, LIMITED_KEY = (os.environ[name] for name in ("KEY", "POOR_KEY", "LIMITED_KEY"))
MODEL = "starter"
MESSAGES: Any = [{"role": "user", "content": "Tell me a story about a lighthouse."}]
LONG: Any = [{"role": "user", "content": "Tell me a story. " * 1000}]
# The library has dropped the temperature, servers have not.
LIKELIEST: Any = {"extra_body": {"temperature": 0}}
GREEDY: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 40, **LIKELIEST}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
ASKED: Any = {"role": "user", "content": "What is the weather in Bern?"}


class Form(BaseModel):
    """What the answer is."""

    ready: bool
    colour: Literal["red", "green"]


def main() -> None:
    client = Anthropic(base_url=ADDRESS, api_key=KEY, max_retries=0)
    report = {
        "models": [model.id for model in client.models.list(limit=1)],
        "model": client.models.retrieve(MODEL).id,
        "answers": {"message": message(client), "streamed message": streamed_message(client)},
        "calls": {"whole": call(client), "streamed": streamed_call(client)},
        "form": form(client),
        "errors": errors(client),
        "waited_s": wait_as_told(),
        "left": leave(client),
    }
    print(json.dumps(report))


def message(client: Anthropic) -> dict[str, Any]:
    made = client.messages.create(**GREEDY)
    counted = client.messages.count_tokens(model=MODEL, messages=MESSAGES)
    assert counted.input_tokens == made.usage.input_tokens + (
        made.usage.cache_read_input_tokens or 0
    )
    return told(made)


def streamed_message(client: Anthropic) -> dict[str, Any]:
    with client.messages.stream(**GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text  # type: ignore[union-attr]
    return told(final)


def told(made: Any) -> dict[str, Any]:
    """Cached tokens of the prompt are counted apart."""
    cached = made.usage.cache_read_input_tokens or 0
    return {
        "id": made.id,
        "text": made.content[0].text,
        "finish_reason": made.stop_reason,
        "usage": [made.usage.input_tokens + cached, made.usage.output_tokens],
    }


def call(client: Anthropic) -> dict[str, Any]:
    """A call, then the answer to what it found."""
    settings: Any = {"model": MODEL, "max_tokens": 60, "tools": [WEATHER], **LIKELIEST}
    first = client.messages.create(**settings, messages=[ASKED], tool_choice={"type": "any"})
    [use] = first.content
    found = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}  # type: ignore[union-attr]
    turns = [
        ASKED,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [found]},
    ]
    second = client.messages.create(**settings, messages=turns)
    return spelt(use, first.stop_reason) | {"then": second.role}


def streamed_call(client: Anthropic) -> dict[str, Any]:
    """Through the library's own accumulator."""
    with client.messages.stream(
        model=MODEL, max_tokens=60, messages=[ASKED], tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"}, **LIKELIEST,
    ) as stream:  # fmt: skip
        final = stream.get_final_message()
    [use] = final.content
    return spelt(use, final.stop_reason)


def spelt(use: Any, reason: str | None) -> dict[str, Any]:
    return {"name": use.name, "arguments": use.input, "finish_reason": reason}


def form(client: Anthropic) -> Any:
    made = client.messages.parse(
        model=MODEL, max_tokens=60, messages=MESSAGES, output_format=Form, **LIKELIEST
    )
    assert made.parsed_output is not None
    return made.parsed_output.model_dump()


def errors(client: Anthropic) -> dict[str, Any]:
    limited = Anthropic(base_url=LIMITED_ADDRESS, api_key=LIMITED_KEY, max_retries=0)
    poor = client.with_options(api_key=POOR_KEY)
    wrong = client.with_options(api_key="sk-wrong")

    def too_many() -> None:
        for _ in range(100):
            limited.messages.create(**GREEDY | {"max_tokens": 1})

    return {
        "401": caught(lambda: wrong.messages.create(**GREEDY)),
        "404": caught(lambda: client.messages.create(**GREEDY | {"model": "claude-9"})),
        "400": caught(
            lambda: client.messages.create(**GREEDY | {"extra_body": {"temperature": 3}})
        ),
        "too long": caught(lambda: client.messages.create(**GREEDY | {"messages": LONG})),
        "402": caught(lambda: poor.messages.create(**GREEDY | {"max_tokens": 1000})),
        "429": caught(too_many),
    }


def caught(act: Any) -> dict[str, Any]:
    try:
        act()
    except anthropic.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "code": error.error_code,
            "request_id": error.request_id,
        }
    raise AssertionError("nothing was raised")


def wait_as_told() -> float:
    """The limit is used up; the library waits for as long as Retry-After says, and succeeds."""
    client = Anthropic(base_url=LIMITED_ADDRESS, api_key=LIMITED_KEY, max_retries=1)
    began = time.monotonic()
    client.messages.create(**GREEDY | {"max_tokens": 1})
    return time.monotonic() - began


def leave(client: Anthropic) -> str:
    """Closes a stream after its first words."""
    with client.messages.stream(
        model=MODEL, messages=MESSAGES, max_tokens=1500, extra_body={"ignore_eos": True}
    ) as stream:
        for _ in stream.text_stream:
            return stream.current_message_snapshot.id
    raise AssertionError("the stream ended")


if __name__ == "__main__":
    main()
