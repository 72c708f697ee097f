"""`POST /v1/fill-mask`: the likeliest tokens for each mask of a text. BERT's own task."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference.api import answers
from inference.api.bodies import parse
from inference.api.errors import json_response
from inference.api.exchange import authenticate, exchange_of, read_object
from inference.api.inputs import MAX_INPUTS, InputField, encoder_spec, input_usage
from inference.api.schemas import FillMaskBody
from inference.encoding import Encoding
from inference.engine.wire import engine_pb2 as wire
from inference.spec import FillMask, GenerationSpec, Summary

INPUT = InputField("input", most=MAX_INPUTS, ids_allowed=False)


async def create(request: Request) -> Response:
    exchange_of(request).endpoint = "fill_mask"
    await authenticate(request)
    body = parse(FillMaskBody, await read_object(request))
    encoding = await answers.begin(request, to_spec(body), body)
    _, summary = await answers.collect(request, encoding)
    if summary is None:
        return answers.client_gone()
    assert isinstance(encoding, Encoding)
    return json_response(whole(encoding, summary))


def to_spec(body: FillMaskBody) -> GenerationSpec:
    """Raises ServiceError (400) naming the field that cannot be served."""
    inputs = INPUT.read(body.input)
    task = FillMask(body.top_k, tuple(body.targets))
    return encoder_spec(body, "fill_mask", inputs, task)


def whole(encoding: Encoding, summary: Summary) -> dict[str, Any]:
    assert encoding.filled is not None
    data: list[dict[str, Any]] = [
        {"object": "fill_mask", "index": index, "masks": []}
        for index in range(len(encoding.prompts))
    ]
    for mask in encoding.filled.masks:
        candidates = [_candidate(each) for each in mask.candidates]
        data[mask.input]["masks"].append({"position": mask.position, "candidates": candidates})
    return {
        "object": "list",
        "data": data,
        "model": encoding.model,
        "usage": input_usage(summary),
    }


def _candidate(candidate: wire.Candidate) -> dict[str, Any]:
    """As the pipeline of transformers names it."""
    return {
        "token": candidate.token_id,
        "token_str": candidate.token,
        "score": candidate.probability,
        "sequence": candidate.sequence,
    }
