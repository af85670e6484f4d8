"""Identities under lock and key, and the guard that finds personal data in free text.

Context: whoever complains must not become known, not even to who copies the database. And they want
their data gone when its time is over, from backups too.
Decision: each record has its own data key (AES-256-GCM), which is stored only wrapped by a master
key that lives outside the database. Record id and purpose are bound in, so that nothing can be
moved to another record. Forgetting the wrapped key makes every copy of the record unreadable
(crypto-shredding); its fingerprints go with it.
Consequences: lose the key ring and all identities are lost: it is backed up apart from the
database. Free text typed by people is the real leak, so `personal_data_in` looks at every text
before a unit sees it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# ── sealing identities ────────────────────────────────────────────────────────────────────────────

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
PAD_BYTES: Final = 128
"""Plain text is filled up to a multiple of this, so that its length does not tell the name's."""
AES_256_GCM: Final = b"\x01"
"""First byte of every cipher text: how it was made, so that another cipher can come later."""


class VaultError(Exception):
    """The vault says no; the message is a sentence for the person who asked."""


class NotThisRecord(VaultError):
    """The bytes were changed, or belong to another record."""


class Shredded(VaultError):
    """The record's key was destroyed; nobody can open it any more."""


class UnsafeKeyRing(VaultError):
    """The key ring's file is missing, malformed, or open to others."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is stored of an identity. Set `wrapped_key` to NULL and the record is gone for ever, in
    copies as well as soon as they have lost theirs.

    `key_version` says which master key wraps the data key.
    """

    ciphertext: bytes = field(repr=False)
    wrapped_key: bytes | None = field(repr=False)
    key_version: int


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Master keys by version, and a root from which the other secrets of the house follow.

    One ring serves all replicas of a service. The file is JSON and is readable by its owner only.
    """

    masters: Mapping[int, bytes] = field(repr=False)
    root: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.masters or any(
            len(key) != KEY_BYTES for key in (*self.masters.values(), self.root)
        ):
            raise UnsafeKeyRing("密钥环不完整：每个密钥必须为 32 字节")

    @classmethod
    def load_or_create(cls, path: Path) -> KeyRing:
        """The ring in the file at `path`; a new one is made there, once, when there is no file.

        Several processes may do so at the same moment: all get the same ring. Raises UnsafeKeyRing.
        """
        if not path.exists():
            cls(
                masters={1: secrets.token_bytes(KEY_BYTES)}, root=secrets.token_bytes(KEY_BYTES)
            ).save_new(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The ring in a file that was put there. Raises UnsafeKeyRing when others may read or
        change it.
        """
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise UnsafeKeyRing(f"无法读取密钥环 {path}") from error
        # Reading by the group is let pass: that is how Kubernetes mounts a secret for a process
        # that is not root.
        if mode & 0o037:
            raise UnsafeKeyRing(f"密钥环 {path} 的权限为 {mode:04o}，必须仅限所有者访问（0600）")
        return cls.from_text(text)

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """The ring in the text of such a file. Raises UnsafeKeyRing."""
        try:
            stored = json.loads(text)
            masters = {
                int(version): b64decode(key, validate=True)
                for version, key in stored["masters"].items()
            }
            return cls(masters, b64decode(stored["root"], validate=True))
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without the cause: it would quote the keys.
            raise UnsafeKeyRing("密钥环文件的格式不正确") from None

    def text(self) -> str:
        """What the file holds."""
        masters = {
            str(version): b64encode(key).decode() for version, key in sorted(self.masters.items())
        }
        return (
            json.dumps({"masters": masters, "root": b64encode(self.root).decode()}, indent=1) + "\n"
        )

    def rotated(self) -> KeyRing:
        """The ring with a new master key. Old records stay readable; `rewrap` moves them to the new
        key one by one.
        """
        return KeyRing(
            {**self.masters, self.current + 1: secrets.token_bytes(KEY_BYTES)}, self.root
        )

    def save(self, path: Path) -> None:
        """Replace the file at `path` in one step, readable by its owner only."""
        os.replace(self._write_beside(path), path)

    def save_new(self, path: Path) -> None:
        """Make the file at `path`, unless there is one already: then that one counts."""
        path.parent.mkdir(parents=True, exist_ok=True)
        written = self._write_beside(path)
        try:
            os.link(written, path)  # Unlike a rename this fails when another process was first.
        except FileExistsError:
            pass
        finally:
            os.unlink(written)

    @property
    def current(self) -> int:
        """Version of the master key that wraps new data keys."""
        return max(self.masters)

    def seal(self, record_id: UUID | str, fields: Mapping[str, str]) -> Sealed:
        """Encrypt the fields of one identity under a data key of its own."""
        data_key, nonce, key_nonce = _random_parts(KEY_BYTES, NONCE_BYTES, NONCE_BYTES)
        plain = msgspec.json.encode(dict(fields))
        padded = plain + b" " * (-len(plain) % PAD_BYTES)
        version = self.current
        return Sealed(
            _encrypt(AESGCM(data_key), padded, _bound("fields", record_id), nonce),
            _encrypt(
                _master(self.masters[version]),
                data_key,
                _bound(f"key {version}", record_id),
                key_nonce,
            ),
            version,
        )

    def open_sealed(self, record_id: UUID | str, sealed: Sealed) -> dict[str, str]:
        """The fields of this record.

        Raises Shredded when its key was destroyed, NotThisRecord when anything was changed or it is
        another's, VaultError when the ring lacks the master key.
        """
        plain = _decrypt(
            self._data_key(record_id, sealed), sealed.ciphertext, _bound("fields", record_id)
        )
        opened: dict[str, str] = json.loads(plain)
        return opened

    def rewrap(self, record_id: UUID | str, sealed: Sealed) -> Sealed:
        """The same record under the current master key. The fields are not decrypted. Raises as
        `open_sealed`.
        """
        version = self.current
        data_key = self._data_key(record_id, sealed)
        wrapped = _encrypt(
            _master(self.masters[version]),
            data_key,
            _bound(f"key {version}", record_id),
            secrets.token_bytes(NONCE_BYTES),
        )
        return Sealed(sealed.ciphertext, wrapped, version)

    def fingerprint(self, text: str) -> bytes:
        """32 bytes by which the same phone, number or name is found again without being stored.

        Spelling does not matter: width, spaces, dashes, capitals, +86. Without the ring a
        fingerprint cannot be computed, so a table of all phone numbers is of no use. Destroy it
        together with its record.
        """
        return hmac.digest(self.secret("fingerprint"), _bare(text).encode(), hashlib.sha256)

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """The signature key for a purpose, always the same, as `audit/intake`."""
        return Ed25519PrivateKey.from_private_bytes(self.secret(f"sign/{purpose}"))

    def secret(self, purpose: str) -> bytes:
        """32 secret bytes for a purpose, always the same; those of one purpose say nothing about
        another's.
        """
        return _secret(self.root, purpose)

    def _write_beside(self, path: Path) -> Path:
        beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
        ) as file:
            file.write(self.text())
            file.flush()
            os.fsync(file.fileno())
        return beside

    def _data_key(self, record_id: UUID | str, sealed: Sealed) -> bytes:
        if sealed.wrapped_key is None:
            raise Shredded("该身份信息的密钥已销毁，无法查阅")
        master = self.masters.get(sealed.key_version)
        if master is None:
            raise VaultError(f"密钥环中没有第 {sealed.key_version} 版主密钥")
        return _decrypt(master, sealed.wrapped_key, _bound(f"key {sealed.key_version}", record_id))


@lru_cache(maxsize=64)
def _secret(root: bytes, purpose: str) -> bytes:
    return hmac.digest(root, f"fengping/{purpose}".encode(), hashlib.sha256)


def _random_parts(*sizes: int) -> Iterator[bytes]:
    """Random bytes of these sizes; the operating system is asked once for all of them."""
    drawn, start = secrets.token_bytes(sum(sizes)), 0
    for size in sizes:
        yield drawn[start : start + size]
        start += size


@lru_cache(maxsize=8)
def _master(key: bytes) -> AESGCM:
    """The cipher of a master key, set up once."""
    return AESGCM(key)


def _encrypt(cipher: AESGCM, plain: bytes, bound: bytes, nonce: bytes) -> bytes:
    return AES_256_GCM + nonce + cipher.encrypt(nonce, plain, bound)


def _decrypt(key: bytes, stored: bytes, bound: bytes) -> bytes:
    made, nonce, body = stored[:1], stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
    try:
        if made != AES_256_GCM or len(nonce) != NONCE_BYTES:
            raise InvalidTag
        return AESGCM(key).decrypt(nonce, body, bound)
    except InvalidTag as error:
        raise NotThisRecord("身份信息校验失败：数据被改动或不属于此记录") from error


def _bound(purpose: str, record_id: UUID | str) -> bytes:
    return f"fengping/vault/{purpose}/{record_id}".encode()


def _bare(text: str) -> str:
    kept = "".join(filter(str.isalnum, _folded(text))).casefold()
    country = _MAINLAND.fullmatch(kept)
    return country[1] if country else kept


_MAINLAND: Final = re.compile(r"(?:00)?86(1[3-9]\d{9})")


# ── masking ───────────────────────────────────────────────────────────────────────────────────────


def mask_phone(text: str) -> str:
    """`138****8000`; a landline `0431****1234`. Shorter numbers lose all but the last two digits."""
    digits = "".join(letter for letter in _bare(text) if letter.isdigit())
    if len(digits) < 10:
        return "*" * max(0, len(digits) - 2) + digits[-2:]
    head = 3 if len(digits) == 11 and digits.startswith("1") else len(digits) - 8
    return f"{digits[:head]}****{digits[-4:]}"


def mask_id_card(text: str) -> str:
    """`2201************43`: province and city, then nothing of birth, sex or person but the last
    two.
    """
    bare = "".join(letter for letter in _folded(text) if letter.isalnum())
    return (
        f"{bare[:4]}{'*' * max(4, len(bare) - 6)}{bare[-2:]}"
        if len(bare) >= 15
        else "*" * len(bare)
    )


def mask_name(text: str) -> str:
    """`张*`, `欧阳**`: the family name only."""
    name = text.strip()
    family = 2 if len(name) > 2 and name[:2] in _DOUBLE_SURNAMES else 1
    return name[:family] + "*" * max(1, len(name) - family) if name else ""


_DOUBLE_SURNAMES: Final = frozenset(
    re.findall(
        "..",
        "欧阳太史端木上官司马东方独孤南宫万俟闻人夏侯诸葛尉迟公羊赫连澹台皇甫宗政濮阳公冶太叔申屠公孙慕容仲孙钟离长孙宇文司徒"
        "鲜于司空闾丘子车亓官司寇巫马公西颛孙壤驷公良漆雕乐正宰父谷梁拓跋夹谷轩辕令狐段干百里呼延东郭南门羊舌微生梁丘左丘西门",
    )
)

# ── the guard on texts ────────────────────────────────────────────────────────────────────────────


class Personal(StrEnum):
    """Kinds of personal data, those that weigh most first."""

    KNOWN = "known"
    ID_CARD = "id_card"
    BANK_CARD = "bank_card"
    MOBILE = "mobile"
    LANDLINE = "landline"
    EMAIL = "email"
    PLATE = "plate"

    @property
    def label(self) -> str:
        """The kind's name on pages."""
        return _KIND_LABELS[self]


_KIND_LABELS: Final = {
    Personal.KNOWN: "来件人信息",
    Personal.ID_CARD: "身份证号",
    Personal.BANK_CARD: "银行卡号",
    Personal.MOBILE: "手机号码",
    Personal.LANDLINE: "固定电话",
    Personal.EMAIL: "电子邮箱",
    Personal.PLATE: "车牌号",
}
assert _KIND_LABELS.keys() == set(Personal), "every kind has a name on pages"
_WEIGHT: Final = {kind: weight for weight, kind in enumerate(Personal)}


@dataclass(frozen=True, slots=True)
class Hit:
    """Personal data at `text[start:end]` of the text that was looked at. Never log `text`."""

    kind: Personal
    start: int
    end: int
    text: str = field(repr=False)


def personal_data_in(text: str, known: Iterable[str] = ()) -> list[Hit]:
    """All personal data in a text, in order, without overlaps; [] means that it may go on.

    `known`: what is known of the person behind this very case (name, numbers, address), found in
    any spelling. Numbers are found in any width or script, in Chinese numerals, and with blanks,
    dashes, dots or brackets inside.
    """
    arabic = _OPAQUE.sub(lambda found: "x" * len(found[0]), _folded(text))
    views = {arabic, arabic.translate(_NUMERALS)}
    bare = [_bare(text) for text in known]
    spans = {span for view in views for span in (*_patterned(view), *_known(view, bare))}
    return [Hit(kind, start, end, text[start:end]) for kind, start, end in _merged(spans)]


def mask_personal_data(text: str, known: Iterable[str] = ()) -> str:
    """The text with every hit replaced by its kind, as `［手机号码］`; not one digit of it is left
    for who can guess.
    """
    parts, done = [], 0
    for hit in personal_data_in(text, known):
        parts += [text[done : hit.start], f"［{hit.kind.label}］"]
        done = hit.end
    return "".join([*parts, text[done:]])


_Span = tuple[Personal, int, int]

# What may stand inside a number. Not what separates times, items of a list or sentences:
# 17:30，2026 is no telephone.
_GAP: Final = r"(?:[^\w:;、。!?%=]|_){0,4}"


def _digits(*classes: str) -> str:
    return _GAP.join(classes)


_D: Final = r"\d"
_MOBILE: Final = _digits("1", "[3-9]", *[_D] * 9)
_AREA: Final = rf"(?:1{_GAP}0|2{_GAP}\d|[3-9]{_GAP}\d{_GAP}\d)"
_SUBSCRIBER: Final = _digits("[2-8]", *[_D] * 6) + rf"(?:{_GAP}\d)?"
_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


def _number(shape: str) -> str:
    """A number of this shape that no digit touches, looked for at every place: one must not hide
    the next.
    """
    return rf"(?<!\d)(?=({shape})(?!\d))"


_LONG: Final = _digits(*[_D] * 10)
"""What every number below has: ten digits in a row."""
_PATTERNS: Final = [
    (re.compile(sign), [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in patterns])
    for sign, patterns in [
        (
            _LONG,
            [
                (Personal.ID_CARD, _number(_digits(*[_D] * 17, "[0-9X]"))),
                (Personal.ID_CARD, _number(_digits(*[_D] * 15))),
                *(
                    (Personal.BANK_CARD, _number(_digits("[34569]", *[_D] * (length - 1))))
                    for length in range(16, 20)
                ),
                # Before it a country code, a trunk zero or a dialling prefix may stand; two numbers
                # may stand without a blank.
                (
                    Personal.MOBILE,
                    _number(rf"(?:(?:(?:00)?86|0|17951|12593){_GAP})?(?:{_MOBILE})+"),
                ),
                (
                    Personal.LANDLINE,
                    _number(rf"(?:(?:00)?86{_GAP}0?|0){_GAP}{_AREA}{_GAP}{_SUBSCRIBER}"),
                ),
            ],
        ),
        (
            "@",
            [
                (
                    Personal.EMAIL,
                    r"(?<![\w.+%-])(?=([\w.+%-]+ ?@ ?[\w-]+(?:\.[\w-]+)+))".replace(
                        r"\w", "a-z0-9_"
                    ),
                )
            ],
        ),
        (
            f"[{_PROVINCES}]",
            [
                (
                    Personal.PLATE,
                    rf"(?=([{_PROVINCES}]{_GAP}[A-Z]{_GAP}(?:[A-Z0-9]{_GAP}){{4,5}}[A-Z0-9挂学警港澳])(?![A-Z0-9]))",
                ),
            ],
        ),
    ]
]
"""By the sign without which none of them is there: most texts show none, and one look for it is
cheaper than ten.
"""

# Random ids hold any digits and say nothing about anybody.
_OPAQUE: Final = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{32,})(?![0-9a-z])",
    re.IGNORECASE,
)
_NUMERALS: Final = str.maketrans(
    "〇○零幺一二三四五六七八九壹贰叁肆伍陆柒捌玖", "0001" + "123456789" * 2
)


def _folded(text: str) -> str:
    """The same text, letter for letter (positions stay), in half width and with the digits 0 to 9."""
    return text.translate(_FOLDING)


class _Folding(dict[int, str]):
    """Letter → the same folded, found out once for each letter."""

    def __missing__(self, code: int) -> str:
        folded = _folded_letter(chr(code))
        if (
            code < 0x10000
        ):  # the other planes are large and rare: a stranger must not fill our memory with them
            self[code] = folded
        return folded


_FOLDING: Final = _Folding()


def _folded_letter(letter: str) -> str:
    if letter.isascii():
        return letter
    digit = unicodedata.digit(letter, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", letter)
    return folded if len(folded) == 1 else letter


def _patterned(view: str) -> Iterator[_Span]:
    for sign, patterns in _PATTERNS:
        for kind, pattern in patterns if sign.search(view) else ():
            for found in pattern.finditer(view):
                if _plausible(kind, found[1]):
                    yield kind, found.start(1), found.end(1)


def _plausible(kind: Personal, found: str) -> bool:
    bare = "".join(letter for letter in found.upper() if letter.isalnum())
    if kind is Personal.ID_CARD:
        return _is_id_card(bare)
    return kind is not Personal.BANK_CARD or _is_card_number(bare)


def _is_id_card(bare: str) -> bool:
    """GB 11643: 18 places with a check digit; the old form of 15 places has none, so its birthday
    must be a day.
    """
    if len(bare) == 15:
        return bare[0] in "12345678" and _is_day("19" + bare[6:12])
    weighed = sum(int(digit) * weight for digit, weight in zip(bare, _ID_WEIGHTS, strict=False))
    return bare[17] == "10X98765432"[weighed % 11]


_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def _is_card_number(bare: str) -> bool:
    """Luhn's check (ISO/IEC 7812)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(bare)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def _known(view: str, known: Iterable[str]) -> Iterator[_Span]:
    """`known`: as `_bare` writes them."""
    squeezed = ""
    for bare in known:
        squeezed = squeezed or "".join(filter(str.isalnum, view)).lower()
        # A single letter would be found everywhere; and a pattern of its own for each caller is
        # dear when nothing is there.
        if len(bare) >= 2 and bare.lower() in squeezed:
            for found in re.finditer(_GAP.join(map(re.escape, bare)), view, re.IGNORECASE):
                yield Personal.KNOWN, found.start(), found.end()


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Overlapping spans become one of the kind that weighs most, as long as all of them together."""
    merged: list[_Span] = []
    for kind, start, end in sorted(spans, key=lambda span: span[1:]):
        if merged and start < merged[-1][2]:
            last, from_, to = merged[-1]
            merged[-1] = (min(last, kind, key=_WEIGHT.__getitem__), from_, max(to, end))
        else:
            merged.append((kind, start, end))
    return merged
