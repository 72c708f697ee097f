"""A running site whose documentation is tried out, and the running of one sample against it."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.billing.stripe_double import SECRET_KEY, WEBHOOK_SECRET, stripe_double
from tests.environment import REFERENCE_DATA
from tests.forks import Forks
from tests.portal.pages.documented import samples_in
from tests.portal.pages.recorder import Call, Recorder, recorder
from tests.story.site import Site, embedded_site

RUN_S = 60
EMAIL = "docs@example.com"
STRIPE_DATA = "stripe/fixtures3.json"
# A colleague, so that there is a member whom a key may change.
ADD_BOB = f"""
from accounts.models import Membership, Organisation, User
bob = User.objects.filter(email="bob@example.com").first() or User.objects.create_user(
    "bob@example.com")
organisation = Organisation.objects.get(members__email="{EMAIL}")
member, _ = Membership.objects.get_or_create(
    user=bob, organisation=organisation, defaults={{"role": "developer"}})
print(member.pk)
"""
# What `addmodel` does when it has looked at a checkpoint, for which torch would be loaded.
OFFER = """
from inference.management.commands.addmodel import add_model
for name, kind in (("vectors", "embeddings"), ("masks", "fill_mask")):
    prices = [20_000_000, 20_000_000, 0]
    add_model(name, "a/checkpoint", prices, kind=kind, is_chat=False, max_model_len=256)
"""


@dataclass(frozen=True)
class DocsSite:
    """Keys of one organisation that keeps bodies, on a site that offers models of all kinds."""

    site: Site
    recorder: Recorder
    key: str
    management_key: str
    python: Forks

    def samples(self, slug: str, language: str) -> list[str]:
        """A page's samples, which call the site through the recorder."""
        text = httpx.get(f"{self.site.url}/docs/{slug}.md", timeout=RUN_S).raise_for_status().text
        return samples_in(text.replace(self.site.url, self.recorder.url), language)

    def run(self, command: list[str], sample: str) -> tuple[str, list[Call]]:
        """What a sample printed and which calls it made; it has to end well."""
        environment = {**os.environ, **self._environment_of(sample)}
        self.recorder.calls.clear()
        done = subprocess.run(
            command, input=sample, env=environment, timeout=RUN_S, capture_output=True, text=True
        )
        return self._ended_well(sample, done)

    def run_python(self, sample: str) -> tuple[str, list[Call]]:
        """The same for one in Python with the libraries that the tests have."""
        environment = self._environment_of(sample)
        self.recorder.calls.clear()
        return self._ended_well(sample, self.python.run({"sample": sample, "env": environment}))

    def _ended_well(
        self, sample: str, done: "subprocess.CompletedProcess[str]"
    ) -> tuple[str, list[Call]]:
        assert done.returncode == 0, f"{sample}\n{done.stdout}\n{done.stderr}"
        return done.stdout, list(self.recorder.calls)

    def _environment_of(self, sample: str) -> dict[str, str]:
        keys = {"OPENAI_API_KEY": self.key, "MANAGEMENT_KEY": self.management_key}
        return {**keys, **self._ids_for(sample)}

    def _ids_for(self, sample: str) -> dict[str, str]:
        """What a reader would have from the calls before: fresh ids, for what the sample names."""
        makers: dict[str, Callable[[], str]] = {
            "RESPONSE_ID": lambda: str(self._made("/v1/responses", input="Hi.")["id"]),
            "REQUEST_ID": self._request_id,
            "KEY_ID": lambda: str(self._managed("/api/keys/", name="sample")["id"]),
            "INVITATION_ID": lambda: str(
                self._managed("/api/invitations/", email="dan@example.com", role="viewer")["id"]
            ),
            "TOP_UP_ID": lambda: str(self._managed("/api/top-ups/", amount_cents=900)["id"]),
            "PAID_TOP_UP_ID": self._paid_top_up_id,
        }
        ids = {
            name: make()
            for name, make in makers.items()
            if re.search(rf"(\$|env\.|environ\[\"){name}\b", sample)
        }
        if "/members/" in sample:
            ids["MEMBER_ID"] = self.site.manage("shell", "-v0", "-c", ADD_BOB).split()[-1]
        return ids

    def _paid_top_up_id(self) -> str:
        """Paid on the stand-in's page, and heard of by its webhook."""
        begun = self._managed("/api/top-ups/", amount_cents=900)
        httpx.post(begun["checkout_url"], data={"pay": "yes"}, timeout=RUN_S)
        address = f"{self.site.url}/api/top-ups/{begun['id']}/"
        headers = {"authorization": f"Bearer {self.management_key}"}
        for _look in range(200):
            if httpx.get(address, headers=headers, timeout=RUN_S).json()["state"] == "paid":
                break
            time.sleep(0.1)
        return str(begun["id"])

    def _request_id(self) -> str:
        answer = self._post("/v1/completions", self.key, {"model": "starter", "max_tokens": 1})
        return answer.headers["x-request-id"]

    def _made(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._post(path, self.key, {"model": "starter", **body}).json()
        return answer

    def _managed(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._post(path, self.management_key, body).json()
        return answer

    def _post(self, path: str, key: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx.post(self.site.url + path, json=body, headers=headers, timeout=RUN_S)
        return answer.raise_for_status()


@contextmanager
def docs_site(folder: Path) -> Iterator[DocsSite]:
    with ExitStack() as stack:
        knobs = {}
        if (REFERENCE_DATA / STRIPE_DATA).exists():
            double = stack.enter_context(stripe_double())
            base = double.url
            knobs = {"STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
            knobs["STRIPE_API_BASE"] = base
        site = stack.enter_context(embedded_site(folder / "site", ENGINE_FAKE="true", **knobs))
        if knobs:
            double.post.url = f"{site.url}/webhooks/stripe/"
        key = site.issue_key(EMAIL, "5")
        name = ("--email", EMAIL, "--name", "management")
        management_key = site.manage("issuekey", *name, "--scope", "management").strip()
        calls = stack.enter_context(recorder(site.url))
        python = stack.enter_context(closing(Forks("tests.portal.pages.samples", dict(os.environ))))
        made = DocsSite(site, calls, key, management_key, python)
        keep_bodies(site.url, management_key)
        offer_encoders(site, key)
        yield made


def keep_bodies(url: str, management_key: str) -> None:
    """Without that, no response is stored."""
    headers = {"authorization": f"Bearer {management_key}"}
    address = f"{url}/api/organisation/"
    changed = {"keeps_bodies": True}
    httpx.patch(address, json=changed, headers=headers, timeout=RUN_S).raise_for_status()


def offer_encoders(site: Site, key: str) -> None:
    """The first that come into the lists are what the samples name; their engines are fakes."""
    site.manage("shell", "-v0", "-c", OFFER)
    for name, path in (("vectors", "embeddings"), ("masks", "fill-mask")):
        sent = {"model": name, "input": "Paris is the [MASK] of France."}
        until_it_answers(f"{site.url}/v1/{path}", key, sent)


def until_it_answers(address: str, key: str, sent: dict[str, str]) -> None:
    headers = {"authorization": f"Bearer {key}"}
    deadline = time.monotonic() + RUN_S
    with httpx.Client(headers=headers, timeout=RUN_S) as client:
        while (answer := client.post(address, json=sent)).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.1)
