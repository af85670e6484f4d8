"""Sealed identities stay closed to who has only the database."""

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.security.keyring import (
    InvalidKeyRing,
    KeyDestroyed,
    KeyRing,
    RecordMismatch,
    VaultError,
)
from shared.security.masking import mask_id_card, mask_name, mask_phone

RING = KeyRing({1: b"m" * 32}, b"r" * 32)
RECORD, OTHER = UUID(int=1), UUID(int=2)
ZHANG = {"name": "张三", "phone": "13800138000"}

# ── the key ring


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [(0o600, True), (0o400, True), (0o440, True), (0o644, False), (0o620, False), (0o660, False)],
)
def test_ring_open_to_others_is_refused(tmp_path: Path, mode: int, accepted: bool) -> None:
    path = tmp_path / "keyring.json"
    RING.save(path)
    path.chmod(mode)

    if accepted:
        KeyRing.load(path)
    else:
        with pytest.raises(InvalidKeyRing, match="0600"):
            KeyRing.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"master_keys": {"1": "bTE="}, "root": "cg=="}',
        '{"master_keys": {}, "root": ""}',
        "王",
    ],
)
def test_malformed_ring_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keyring.json"
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")

    with pytest.raises(InvalidKeyRing) as refused:
        KeyRing.load(path)

    assert "bTE=" not in str(refused.value)


def test_keys_are_in_no_representation() -> None:
    shown = repr(RING) + repr(RING.seal(RECORD, ZHANG))

    assert "mmm" not in shown
    assert "rrr" not in shown
    assert "\\x" not in shown


def test_secrets_follow_from_the_ring_and_differ_by_purpose() -> None:
    assert RING.derive_key("limiter") == RING.derive_key("limiter") != RING.derive_key("other")


# ── sealed records


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_what_was_sealed_is_opened(fields: dict[str, str]) -> None:
    assert RING.unseal(RECORD, RING.seal(RECORD, fields)) == fields


@given(st.data())
def test_every_changed_byte_is_refused(data: st.DataObject) -> None:
    sealed = RING.seal(RECORD, ZHANG)
    part = data.draw(st.sampled_from(["ciphertext", "wrapped_key"]))
    stored = bytearray(getattr(sealed, part))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    changed: dict[str, Any] = {part: bytes(stored)}

    with pytest.raises(RecordMismatch):
        RING.unseal(RECORD, replace(sealed, **changed))


@given(st.integers(0, 300))
def test_shortened_bytes_are_refused(length: int) -> None:
    sealed = RING.seal(RECORD, ZHANG)
    for part in ("ciphertext", "wrapped_key"):
        stored = getattr(sealed, part)
        with pytest.raises(RecordMismatch):
            RING.unseal(RECORD, replace(sealed, **{part: stored[: min(length, len(stored) - 1)]}))


def test_nothing_moves_to_another_record() -> None:
    zhang, li = RING.seal(RECORD, ZHANG), RING.seal(OTHER, {"name": "李四"})

    for stolen in (
        zhang,
        replace(li, ciphertext=zhang.ciphertext),
        replace(li, wrapped_key=zhang.wrapped_key),
    ):
        with pytest.raises(RecordMismatch):
            RING.unseal(OTHER, stolen)


def test_wrapped_key_is_no_ciphertext() -> None:
    sealed = RING.seal(RECORD, ZHANG)
    assert sealed.wrapped_key is not None

    with pytest.raises(RecordMismatch):
        RING.unseal(RECORD, replace(sealed, ciphertext=sealed.wrapped_key))


def test_ciphertext_reveals_neither_equality_nor_length() -> None:
    once, again, longer = (
        RING.seal(RECORD, ZHANG),
        RING.seal(RECORD, ZHANG),
        RING.seal(RECORD, ZHANG | {"name": "欧阳小红"}),
    )

    assert once.ciphertext != again.ciphertext
    assert once.wrapped_key != again.wrapped_key
    assert len(once.ciphertext) == len(longer.ciphertext)
    assert "张三".encode() not in once.ciphertext


def test_destroyed_key_closes_the_record_for_ever() -> None:
    destroyed = replace(RING.seal(RECORD, ZHANG), wrapped_key=None)

    with pytest.raises(KeyDestroyed, match="已销毁"):
        RING.unseal(RECORD, destroyed)


def test_rotation_keeps_old_records_readable_until_they_are_moved() -> None:
    old = RING.seal(RECORD, ZHANG)
    ring = RING.rotated()

    moved = ring.rewrap(RECORD, old)

    assert (old.key_version, moved.key_version, moved.ciphertext) == (1, 2, old.ciphertext)
    assert ring.unseal(RECORD, old) == ring.unseal(RECORD, moved) == ZHANG
    without_old = KeyRing({2: ring.master_keys[2]}, ring.root)
    assert without_old.unseal(RECORD, moved) == ZHANG
    with pytest.raises(VaultError, match="第 1 版"):
        without_old.unseal(RECORD, old)


def test_version_is_bound_too() -> None:
    ring = KeyRing({1: b"m" * 32, 2: b"m" * 32}, b"r" * 32)
    sealed = ring.seal(RECORD, ZHANG)

    with pytest.raises(RecordMismatch):
        ring.unseal(RECORD, replace(sealed, key_version=1))


def test_saved_ring_is_the_same_ring(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    ring = RING.rotated()

    ring.save(path)

    assert KeyRing.load(path) == ring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())["master_keys"]) == {"1", "2"}


@pytest.mark.parametrize(
    "spelling",
    [
        "13800138000",
        "138 0013 8000",
        "138-0013-8000",
        "+86 13800138000",
        "008613800138000",
        "１３８００１３８０００",
    ],
)
def test_same_phone_has_one_fingerprint(spelling: str) -> None:
    assert RING.fingerprint(spelling) == RING.fingerprint("13800138000")
    assert RING.fingerprint(spelling) != RING.fingerprint("13800138001")
    assert RING.fingerprint(spelling) != KeyRing({1: b"m" * 32}, b"q" * 32).fingerprint(spelling)


# ── masks


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("13800138000", "138****8000"),
        ("+86 138-0013-8000", "138****8000"),
        ("0431-88901234", "0431****1234"),
        ("010 8890 1234", "010****1234"),
        ("12345", "***45"),
        ("", ""),
    ],
)
def test_phone_on_pages(shown: str, masked: str) -> None:
    assert mask_phone(shown) == masked


def test_identity_card_and_name_on_pages() -> None:
    assert mask_id_card("11010519491231002x") == "1101************2x"
    assert mask_id_card("123") == "***"
    assert [mask_name(name) for name in ("张三", "王小明", "欧阳小红", "买买提", "")] == [
        "张*",
        "王**",
        "欧阳**",
        "买**",
        "",
    ]
