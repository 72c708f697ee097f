"""Everything that a program of 2023 does with OpenAI's library of its time, told as JSON."""

import json
import os
from typing import Any

import openai

ADDRESS, LIMITED_ADDRESS = os.environ["ADDRESS"], os.environ["LIMITED_ADDRESS"]
KEY, POOR_KEY, LIMITED_KEY = (os.environ[name] for name in ("KEY", "POOR_KEY", "LIMITED_KEY"))
MODEL = "gpt-3.5-turbo"  # an alias of what the site serves, as is the engine of old
ENGINE = "text-davinci-003"
ENCODER = "all-minilm-l6-v2"
TEXTS = os.environ["TEXTS"].split("|")
PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": "Tell me a story about a lighthouse."}]
LONG = [{"role": "user", "content": "Tell me a story. " * 1000}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 40}
WEATHER = {
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

FORM = {
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


def main() -> None:
    openai.api_base, openai.api_key = f"{ADDRESS}/v1", KEY
    report = {
        "models": [model["id"] for model in openai.Model.list()["data"]],
        "model": openai.Model.retrieve(MODEL)["id"],
        "answers": {
            "chat": chat(),
            "streamed chat": streamed_chat(),
            "completion": completion(),
            "streamed completion": streamed_completion(),
            "sample": sample(),
        },
        "calls": {"whole": call()},
        "form": form(),
        "logprobs": {"completion": logprobs()},
        "embeddings": embeddings(),
        "errors": errors(),
        "left": leave(),
    }
    print(json.dumps(report))


def chat() -> dict[str, Any]:
    answer = openai.ChatCompletion.create(model=MODEL, messages=MESSAGES, **GREEDY)
    [choice] = answer["choices"]
    return told(answer, choice["message"]["content"], choice["finish_reason"])


def streamed_chat() -> dict[str, Any]:
    chunks = openai.ChatCompletion.create(
        model=MODEL, messages=MESSAGES, stream=True, **GREEDY,
        stream_options={"include_usage": True},
    )  # fmt: skip
    return gather(chunks, lambda choice: choice["delta"].get("content", ""))


def completion() -> dict[str, Any]:
    answer = openai.Completion.create(engine=ENGINE, prompt=PROMPT, stop=None, **GREEDY)
    [choice] = answer["choices"]
    return told(answer, choice["text"], choice["finish_reason"])


def streamed_completion() -> dict[str, Any]:
    chunks = openai.Completion.create(
        engine=ENGINE, prompt=PROMPT, stream=True, **GREEDY,
        stream_options={"include_usage": True},
    )  # fmt: skip
    return gather(chunks, lambda choice: choice["text"])


def gather(chunks: Any, text_of: Any) -> dict[str, Any]:
    text, reason = "", None
    for chunk in chunks:
        for choice in chunk["choices"]:
            text += text_of(choice)
            reason = choice["finish_reason"] or reason
    return told(chunk, text, reason)  # the last one has the usage


def told(answer: Any, text: str, reason: str | None) -> dict[str, Any]:
    usage = answer["usage"]
    return {
        "id": answer["id"],
        "text": text,
        "finish_reason": reason,
        "usage": [usage["prompt_tokens"], usage["completion_tokens"]],
    }


def call() -> dict[str, Any]:
    """The library hands on what it does not know, and reads any object."""
    answer = openai.ChatCompletion.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Bern?"}],
        tools=[WEATHER],
        tool_choice="required",
    )
    [choice] = answer["choices"]
    [made] = choice["message"]["tool_calls"]
    return {
        "name": made["function"]["name"],
        "arguments": json.loads(made["function"]["arguments"]),
        "finish_reason": choice["finish_reason"],
    }


def form() -> Any:
    answer = openai.ChatCompletion.create(model=MODEL, messages=MESSAGES, response_format=FORM)
    return json.loads(answer["choices"][0]["message"]["content"])


def logprobs() -> dict[str, Any]:
    answer = openai.Completion.create(engine=ENGINE, prompt=PROMPT, logprobs=3, **GREEDY)
    [choice] = answer["choices"]
    lists = choice["logprobs"]
    return {
        "text": choice["text"],
        "tokens": lists["tokens"],
        "logprobs": lists["token_logprobs"],
        "best": [max(top.values()) for top in lists["top_logprobs"]],
    }


def embeddings() -> dict[str, Any]:
    answer = openai.Embedding.create(engine=ENCODER, input=TEXTS)
    return {
        "vectors": [each["embedding"] for each in answer["data"]],
        "tokens": answer["usage"]["prompt_tokens"],
    }


def errors() -> dict[str, Any]:
    ask = openai.ChatCompletion.create

    def too_many() -> None:
        for _ in range(100):
            ask(
                model=MODEL, messages=MESSAGES, max_tokens=1,
                api_base=f"{LIMITED_ADDRESS}/v1", api_key=LIMITED_KEY,
            )  # fmt: skip

    return {
        "401": caught(openai.Model.list, api_key="sk-wrong"),
        "404": caught(ask, model="gpt-9", messages=MESSAGES),
        "400": caught(ask, model=MODEL, messages=MESSAGES, temperature=3),
        "too long": caught(ask, model=MODEL, messages=LONG),
        "402": caught(ask, model=MODEL, messages=MESSAGES, max_tokens=1000, api_key=POOR_KEY),
        "429": caught(too_many),
    }


def caught(act: Any, **arguments: Any) -> dict[str, Any]:
    try:
        act(**arguments)
    except openai.error.OpenAIError as error:
        said = error.json_body["error"]
        return {
            "class": type(error).__name__,
            "status": error.http_status,
            "code": said["code"],
            "param": said["param"],
            "request_id": error.headers["x-request-id"],
        }
    raise AssertionError("nothing was raised")


def leave() -> str:
    """Closes a stream after its first words."""
    stream = openai.ChatCompletion.create(
        model=MODEL, messages=MESSAGES, stream=True, max_tokens=1500, ignore_eos=True
    )
    for chunk in stream:
        if chunk["choices"][0]["delta"].get("content"):
            break
    stream.close()
    return str(chunk["id"])


def sample() -> dict[str, Any]:
    """The call that the library's first page showed, letter for letter."""
    answer = openai.Completion.create(
        engine="text-davinci-003",
        prompt="Write a short story about a curious robot exploring a new planet.",
        max_tokens=500,
        n=1,
        stop=None,
        temperature=0.7,
    )
    return told(answer, answer.choices[0].text.strip(), answer.choices[0].finish_reason)


if __name__ == "__main__":
    main()
