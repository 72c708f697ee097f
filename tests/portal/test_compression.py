"""Pages come compressed; what is told while it is made does not, nor what says too little."""

import gzip

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from portal.middleware import CompressPages

ACCEPTS = {"Accept-Encoding": "gzip, br"}


def test_a_page_comes_small_and_is_the_same(client: Client, db: None) -> None:
    plain = client.get("/docs/quickstart/")
    small = client.get("/docs/quickstart/", headers=ACCEPTS)
    assert (small["Content-Encoding"], "Content-Encoding" in plain) == ("gzip", False)
    assert "Accept-Encoding" in small["Vary"]
    assert len(small.content) == int(small["Content-Length"]) < len(plain.content) / 2
    page = gzip.decompress(small.content).decode()
    assert page.partition("<main")[2][:200] == plain.text.partition("<main")[2][:200] != ""


def test_its_length_tells_no_secret(client: Client, db: None) -> None:
    """A guess beside a secret makes a page shorter where it is right: BREACH."""
    lengths = {len(client.get("/api/schema/", headers=ACCEPTS).content) for _ in range(8)}
    assert len(lengths) > 1


@pytest.mark.parametrize(
    "answer", [HttpResponse("ok"), StreamingHttpResponse([b"word " * 100, b"word " * 100])]
)
def test_a_stream_and_a_word_come_as_they_are(answer: HttpResponse, rf: RequestFactory) -> None:
    def view(_request: HttpRequest) -> HttpResponse:
        return answer

    told = CompressPages(view)(rf.get("/", headers=ACCEPTS))
    assert "Content-Encoding" not in told
