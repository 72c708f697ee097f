"""Lighthouse in CI: accessibility, best practices and search. Speed is `benchmarks/pages.py`'s."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium_path
from tests.conformance import environments
from tests.conformance.lighthouse import INSIDE, PUBLIC, look_at
from tests.shown_site import EMAIL, make_history
from tests.story.site import Site, embedded_site

pytestmark = pytest.mark.browser

CATEGORIES = ["accessibility", "best-practices", "seo"]
LEAST = 95


@pytest.fixture(scope="module")
def shown_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With a history that went past the ledger: no site of others, whose books are looked at."""
    with embedded_site(tmp_path_factory.mktemp("shown"), ENGINE_FAKE="true") as site:
        make_history(site)
        yield site


def test_public_pages_score_well(shown_site: Site) -> None:
    pages = look_at(shown_site, PUBLIC, CATEGORIES)
    assert [page for page in pages if min(page.scores.values()) < LEAST] == []


def test_pages_of_members_score_well(shown_site: Site) -> None:
    pages = look_at(shown_site, INSIDE, CATEGORIES, EMAIL)
    assert [page for page in pages if min(page.scores.values()) < LEAST] == []


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A browser's socket lies below its folder, and a socket's path has at most 107 letters."""
    with tempfile.TemporaryDirectory(prefix="lighthouse-", dir="/tmp") as folder:
        yield Path(folder)


def test_its_browser_goes_when_its_time_is_over(short_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        wait_for_a_page_that_never_comes(short_path)
    assert running_in(short_path) == []


def wait_for_a_page_that_never_comes(folder: Path) -> None:
    """Its time is over once the browser asks for the page, however slowly it came up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(environments.RUN_S)
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with environments.started(
            "lighthouse", TMPDIR=str(folder), SESSION="", PAGES='["/"]', CATEGORIES='["seo"]',
            CHROME_PATH=chromium_path(), ORIGIN=origin,
        ) as program:  # fmt: skip
            connection, _ = silent.accept()
            assert running_in(folder) != []
            with connection:
                program.communicate(timeout=0.1)


def running_in(folder: Path) -> list[str]:
    """Commands of the processes that name `folder`, as a browser does its profile."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command:
            found.append(command)
    return found
