"""The tables of intake. Nobody else reads them.

Personal data is stored in three tables only, each record encrypted under its own key: `vault`
(identity and complaint text), `hotline_drafts` and `supplements`. `form_drafts` (unfinished public
forms) are encrypted under a key that only the browser holds.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from shared.appraisal.labels import ComplaintChannel, ComplaintKind, Role, Urgency
from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("intake")):
    """Head of intake's tables."""


def instant(*, nullable: bool = False) -> Any:
    """A column for an aware instant."""
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable))


def sealed_bytes(*, nullable: bool = False) -> Any:
    """A column for cipher text, a key or a digest."""
    return Field(sa_column=Column(LargeBinary, nullable=nullable))


def words(*, default: str | None = "") -> Any:
    """A text column; `default=None` makes it required."""
    return (
        Field(sa_column=Column(Text, nullable=False))
        if default is None
        else Field(default, sa_column=Column(Text, nullable=False))
    )


def one_of(column: str, values: type[StrEnum] | tuple[str, ...]) -> CheckConstraint:
    """The column holds one of these words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=column)


class Identity(StrEnum):
    """身份: how much of the complainant may be known to whom. Only 实名 puts a name before the
    reviewer's eyes at once.
    """

    REAL_NAME = "real_name"
    CONFIDENTIAL = "confidential"
    ANONYMOUS = "anonymous"


# ── reference data, from `campaigns` ──────────────────────────────────────────────────────────────


class Campaign(Base, table=True):
    """评议活动 as scoring last published it. `revision`: version of the event, so that a copy in
    memory knows when it is old.
    """

    __tablename__ = "campaigns"
    id: str = Field(sa_column=Column(Text, primary_key=True))
    title: str = words(default=None)
    year: int
    scheme: str = words(default=None)
    scheme_version: str = words(default=None)
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    published_at: datetime = instant()


class Unit(Base, table=True):
    """A unit of a campaign's register."""

    __tablename__ = "units"
    __table_args__ = (Index("uq_units_unit_no", "campaign_id", "unit_no", unique=True),)
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("intake.campaigns.id"), primary_key=True)
    )
    unit_id: str = Field(sa_column=Column(Text, primary_key=True))
    unit_no: int
    name: str = words(default=None)
    category: str = words(default=None)
    aliases: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))


# ── complaints ────────────────────────────────────────────────────────────────────────────────────


class Complaint(Base, table=True):
    """A complaint without its words and without its complainant: those are in `vault`.

    `redacted_summary` is the redacted summary (转办摘要), free of personal data. `complainant_fingerprint` finds earlier
    reports from the same number.
    """

    __tablename__ = "complaints"
    __table_args__ = (
        one_of("channel", ComplaintChannel),
        one_of("kind", ComplaintKind),
        one_of("urgency", Urgency),
        one_of("identity", Identity),
        # Near duplicates are looked for among the same unit's last days, so that no trigram index
        # has to be kept up on every insert.
        Index("ix_complaints_of_unit", "campaign_id", "unit_id", "received_at"),
        Index(
            "ix_complaints_of_complainant",
            "complainant_fingerprint",
            postgresql_where="complainant_fingerprint is not null",
        ),
        Index("ix_complaints_of_operator", "registered_by", "registered_at"),
    )
    id: UUID = Field(primary_key=True)
    number: str = Field(sa_column=Column(Text, unique=True, nullable=False))
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("intake.campaigns.id"), nullable=False)
    )
    channel: str = Field(sa_column=Column(Text, nullable=False))
    kind: str = Field(sa_column=Column(Text, nullable=False))
    urgency: str = Field(sa_column=Column(Text, nullable=False))
    urgency_reason: str = words()
    identity: str = Field(sa_column=Column(Text, nullable=False))
    unit_id: str | None = Field(default=None, sa_column=Column(Text))
    problem_item: str | None = Field(default=None, sa_column=Column(Text))
    redacted_summary: str = words(default=None)
    received_at: datetime = instant()
    registered_at: datetime = instant()
    registered_by: UUID | None = None
    complainant_fingerprint: bytes | None = sealed_bytes(nullable=True)
    repeats: int = 0
    merged_into: UUID | None = None


class VaultPart(Base, table=True):
    """One sealed part of a complaint: `identity` (who, and how to reach them) or `statement`
    (诉求原文, place, time as told).
    """

    __tablename__ = "vault"
    __table_args__ = (one_of("part", ("identity", "statement")),)
    complaint_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id")
    part: str = Field(sa_column=Column(Text, primary_key=True))
    ciphertext: bytes = sealed_bytes()
    wrapped_key: bytes | None = sealed_bytes(nullable=True)
    key_version: int


class Supplement(Base, table=True):
    """补充说明 to a complaint, added after its registration; sealed like the statement."""

    __tablename__ = "supplements"
    id: UUID = Field(primary_key=True)
    complaint_id: UUID = Field(foreign_key="intake.complaints.id", index=True)
    by: UUID
    at: datetime = instant()
    ciphertext: bytes = sealed_bytes()
    wrapped_key: bytes | None = sealed_bytes(nullable=True)
    key_version: int


class HotlineDraft(Base, table=True):
    """A hotline ticket that is not registered yet, sealed."""

    __tablename__ = "hotline_drafts"
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="intake.accounts.id", index=True)
    started_at: datetime = instant()
    saved_at: datetime = instant()
    ciphertext: bytes = sealed_bytes()
    wrapped_key: bytes | None = sealed_bytes(nullable=True)
    key_version: int


# ── what the complainant sees afterwards ──────────────────────────────────────────────────────────────


class Progress(Base, table=True):
    """办理进度 of a complaint, as casework tells it. Days, the public reply, nothing of people."""

    __tablename__ = "progress"
    complaint_id: UUID = Field(primary_key=True)
    case_id: UUID = Field(unique=True)
    case_number: str = words(default=None)
    unit_id: str | None = Field(default=None, sa_column=Column(Text))
    opened_at: datetime = instant()
    assigned_at: datetime | None = instant(nullable=True)
    accepted_at: datetime | None = instant(nullable=True)
    closed_at: datetime | None = instant(nullable=True)
    refused_at: datetime | None = instant(nullable=True)
    explanation: str = words()
    due_at: datetime | None = instant(nullable=True)
    provisional: bool = False
    finding: str | None = Field(default=None, sa_column=Column(Text))
    reply: str = words()
    updated_at: datetime = instant()


class Rating(Base, table=True):
    """来件人评价, once for each complaint."""

    __tablename__ = "ratings"
    complaint_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id")
    option: int
    reason: str = words()
    at: datetime = instant()


class FormDraft(Base, table=True):
    """An unfinished public form, kept for two hours. `id` is the hash of the token in the browser's
    cookie; the token also decrypts `body`.
    """

    __tablename__ = "form_drafts"
    id: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    body: bytes = sealed_bytes()
    expires_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, index=True)
    )


# ── ballots ───────────────────────────────────────────────────────────────────────────────────────


class TokenBatch(Base, table=True):
    """A batch of questionnaire codes for one campaign, instrument, group and point. No person
    belongs to it.

    `one_use`: codes printed or sent once each; `place`: one short code displayed at a window, used
    once by each device.
    """

    __tablename__ = "token_batches"
    __table_args__ = (one_of("use", ("one_use", "place")),)
    id: UUID = Field(primary_key=True)
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("intake.campaigns.id"), nullable=False, index=True)
    )
    instrument: str = words(default=None)
    group: str = words(default=None)
    point: str | None = Field(default=None, sa_column=Column(Text))
    use: str = words(default=None)
    issued: int
    issued_at: datetime = instant()
    issued_by: UUID
    closes_on: date | None = None
    flooded_at: datetime | None = instant(nullable=True)


class Token(Base, table=True):
    """A code, as SHA-256 only. It never changes: that it was used shows in nothing but the ballot
    whose id follows from it.
    """

    __tablename__ = "tokens"
    hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    batch_id: UUID = Field(foreign_key="intake.token_batches.id", index=True)


class BallotRow(Base, table=True):
    """A ballot, packed. `id` follows from its token and does not lead back to it; `receipt`
    recognises the same sending again.
    """

    __tablename__ = "ballots"
    __table_args__ = (
        Index("ix_ballots_of_batch", "batch_id"),
        {"postgresql_partition_by": "LIST (campaign_id)"},
    )
    campaign_id: str = Field(sa_column=Column(Text, primary_key=True))
    id: UUID = Field(primary_key=True)
    batch_id: UUID
    answers: bytes = sealed_bytes()
    receipt: bytes = sealed_bytes()
    cast_hour: datetime = instant()


# ── visits and files ──────────────────────────────────────────────────────────────────────────────


class Visit(Base, table=True):
    """An inspection visit. It counts (`counted_at`) when every photo it names is here."""

    __tablename__ = "visits"
    __table_args__ = (
        one_of("mode", ("announced", "covert")),
        Index("ix_visits_of_inspector", "inspector_id", "received_at"),
    )
    id: UUID = Field(primary_key=True)
    number: str = Field(sa_column=Column(Text, unique=True, nullable=False))
    campaign_id: str = Field(
        sa_column=Column(Text, ForeignKey("intake.campaigns.id"), nullable=False)
    )
    unit_id: str = words(default=None)
    mode: str = words(default=None)
    inspector_id: UUID
    visited_at: datetime = instant()
    device_at: datetime | None = instant(nullable=True)
    received_at: datetime = instant()
    skew_seconds: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_metres: float | None = None
    place: str = words()
    items: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    findings: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    remarks: str = words()
    photos: list[str] = Field(sa_column=Column(ARRAY(String(64)), nullable=False))
    digest: bytes = sealed_bytes()
    counted_at: datetime | None = instant(nullable=True)


class StoredFile(Base, table=True):
    """A picture or document on disk, encrypted under a key of its own that is sealed here.

    `subject_id`: the visit, the complaint, or the form draft it belongs to. `derived`: a copy without
    metadata is there too.
    """

    __tablename__ = "files"
    __table_args__ = (
        one_of("subject", ("visit", "complaint", "form_draft")),
        Index("uq_files_subject", "subject_id", "sha256", unique=True),
    )
    id: UUID = Field(primary_key=True)
    subject: str = words(default=None)
    subject_id: UUID
    sha256: bytes = sealed_bytes()
    media_type: str = words(default=None)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    derived: bool = False
    stored_by: UUID | None = None
    stored_at: datetime = instant()
    released_at: datetime | None = instant(nullable=True)
    released_by: UUID | None = None
    ciphertext: bytes = sealed_bytes()
    wrapped_key: bytes | None = sealed_bytes(nullable=True)
    key_version: int


# ── imports ───────────────────────────────────────────────────────────────────────────────────────


class Import(Base, table=True):
    """One import: a file read through a mapping. `done` and `refused` count its rows as they go in."""

    __tablename__ = "imports"
    __table_args__ = (
        one_of("kind", ("complaints", "ballots", "visits")),
        one_of("state", ("running", "finished", "stopped")),
    )
    id: UUID = Field(primary_key=True)
    kind: str = words(default=None)
    source: str = words(default=None)
    file_name: str = words(default=None)
    campaign_id: str = words(default=None)
    dry_run: bool = False
    state: str = words(default=None)
    total: int = 0
    done: int = 0
    repeated: int = 0
    refused: int = 0
    by: UUID
    started_at: datetime = instant()
    ended_at: datetime | None = instant(nullable=True)


class ImportRow(Base, table=True):
    """A row that is in: whoever imports it again finds it here."""

    __tablename__ = "import_rows"
    source: str = Field(sa_column=Column(Text, primary_key=True))
    row_id: str = Field(sa_column=Column(Text, primary_key=True))
    import_id: UUID = Field(foreign_key="intake.imports.id")


class ImportMistake(Base, table=True):
    """A row that was refused: its line in the file, the column and the reason. Nothing of its
    content.
    """

    __tablename__ = "import_errors"
    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    import_id: UUID = Field(foreign_key="intake.imports.id", index=True)
    line: int
    column: str = words()
    reason: str = words()


# ── people ────────────────────────────────────────────────────────────────────────────────────────


class AccountRow(Base, table=True):
    """An account. `name` is lower case; the password is an argon2id hash."""

    __tablename__ = "accounts"
    __table_args__ = (one_of("role", Role),)
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_column=Column(Text, unique=True, nullable=False))
    display_name: str = words(default=None)
    role: str = Field(sa_column=Column(Text, nullable=False))
    unit_id: str | None = Field(default=None, sa_column=Column(Text))
    password_hash: str = words(default=None)
    disabled: bool = False
    created_at: datetime = instant()
    password_changed_at: datetime = instant()


class Login(Base, table=True):
    """最近登录: when and on what kind of device, never from where."""

    __tablename__ = "logins"
    __table_args__ = (Index("ix_logins_of_account", "account_id", "at"),)
    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    account_id: UUID = Field(foreign_key="intake.accounts.id")
    at: datetime = instant()
    device: str = words(default=None)
