"""Sealing: what is stored cannot be read, moved or changed without the key."""

import pytest
from pytest_django.fixtures import Settings

from portal.lib.sealing import CannotUnsealError, seal, unseal

TEXT = "the secret plan, 秘密".encode()


def test_what_is_sealed_opens_again() -> None:
    for text in (b"", TEXT, TEXT * 10_000):
        assert unseal(seal(text, "body:1"), "body:1") == text
    assert unseal(memoryview(seal(TEXT, "c")), "c") == TEXT


def test_nothing_of_the_text_is_in_what_is_stored() -> None:
    sealed = seal(TEXT, "body:1")
    assert TEXT not in sealed
    assert b"secret" not in sealed
    assert seal(TEXT, "body:1") != sealed


def test_it_does_not_open_in_another_row() -> None:
    with pytest.raises(CannotUnsealError):
        unseal(seal(TEXT, "body:1"), "body:2")


def test_whatever_is_changed_does_not_open() -> None:
    sealed = seal(TEXT, "body:1")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(CannotUnsealError):
            unseal(changed, "body:1")
    for end in range(len(sealed)):
        with pytest.raises(CannotUnsealError):
            unseal(sealed[:end], "body:1")


def test_a_former_key_opens_and_no_longer_seals(settings: Settings) -> None:
    settings.SECRET_KEY = "the first"
    old = seal(TEXT, "body:1")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the second", ["the first"]
    assert unseal(old, "body:1") == TEXT
    new = seal(TEXT, "body:1")
    settings.SECRET_KEY_FALLBACKS = []
    assert unseal(new, "body:1") == TEXT
    with pytest.raises(CannotUnsealError):
        unseal(old, "body:1")
