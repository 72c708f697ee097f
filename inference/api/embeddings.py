"""`POST /v1/embeddings`, and `/v1/engines/{engine}/embeddings` of older clients."""

import asyncio
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from inference.api import answers
from inference.api.bodies import parse
from inference.api.engines import with_engine
from inference.api.errors import encode
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.api.inputs import MAX_INPUTS, InputField, encoder_spec, input_usage
from inference.api.schemas import EmbeddingsBody
from inference.encoding import Encoding
from inference.spec import Embed, GenerationSpec, Summary

INPUT = InputField("input", most=MAX_INPUTS)
Vectors = NDArray[np.float32]  # (inputs, dimensions)


async def create(request: Request) -> Response:
    exchange_of(request).endpoint = "embeddings"
    await authenticate(request)
    raw = await with_engine(request, await read_object(request))
    body = parse(EmbeddingsBody, raw)
    encoding = await answers.begin(request, to_spec(body), body)
    _, summary = await answers.collect(request, encoding)
    if summary is None:
        return answers.client_gone()
    assert isinstance(encoding, Encoding)
    # Numbers of thousands of inputs take a while to write: other requests go on meanwhile.
    content = await asyncio.to_thread(whole, encoding, summary, body)
    return Response(content, media_type="application/json")


def to_spec(body: EmbeddingsBody) -> GenerationSpec:
    """Raises ServiceError (400) naming the field that cannot be served."""
    inputs = INPUT.read(body.input)
    task = Embed(body.dimensions)
    return encoder_spec(body, "embeddings", inputs, task)


def whole(encoding: Encoding, summary: Summary, body: EmbeddingsBody) -> bytes:
    """The answer as JSON, written input by input."""
    assert encoding.embedded is not None
    reply = encoding.embedded
    vectors = np.frombuffer(reply.vectors, "<f4").reshape(-1, reply.dimensions)
    vectors = shorten(vectors, body.dimensions)
    in_base64 = body.encoding_format == "base64"
    objects = [
        encode(
            {
                "object": "embedding",
                "index": index,
                "embedding": b64encode(row.tobytes()).decode() if in_base64 else row.tolist(),
            }
        )
        for index, row in enumerate(vectors)
    ]
    rest: dict[str, Any] = {
        "model": encoding.model,
        "usage": input_usage(summary),
    }
    return b'{"object":"list","data":[' + b",".join(objects) + b"]," + encode(rest)[1:]


def shorten(vectors: Vectors, dimensions: int | None) -> Vectors:
    """The first `dimensions` of each, of length 1 again; all of them as they are."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)  # (inputs, 1)
    shortened: Vectors = cut / np.maximum(lengths, np.finfo(np.float32).tiny)
    return shortened
