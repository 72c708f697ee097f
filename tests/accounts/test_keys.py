"""API keys as text: random, checkable offline, stored as a hash."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys


def test_a_key_has_the_documented_form() -> None:
    minted = keys.mint()
    assert minted.secret.startswith("sk-prl-")
    assert len(minted.secret) == keys.LENGTH
    assert minted.secret.isascii()
    assert minted.key_hash == hashlib.sha256(minted.secret.encode()).digest()
    assert minted.secret.startswith(minted.prefix)
    assert minted.secret.endswith(minted.last_four)
    assert len(minted.prefix) + len(minted.last_four) < 20


def test_its_digest_is_what_is_stored() -> None:
    minted = keys.mint()
    assert keys.digest(minted.secret) == minted.key_hash


def test_no_two_keys_are_alike() -> None:
    assert len({keys.mint().secret for _ in range(500)}) == 500


@given(st.integers(0, keys.LENGTH - 1), st.characters(codec="ascii"))
def test_a_typo_is_noticed_without_the_database(position: int, replacement: str) -> None:
    secret = keys.mint().secret
    changed = secret[:position] + replacement + secret[position + 1 :]
    if changed != secret:
        assert keys.digest(changed) is None


@pytest.mark.parametrize(
    "secret", ["", "sk-prl-", "sk-" + "a" * 53, "sk-prl-" + "é" * 49, "a" * 56]
)
def test_what_is_no_key_has_no_digest(secret: str) -> None:
    assert keys.digest(secret) is None


@given(st.text(max_size=80))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    assert keys.digest(text) is None
