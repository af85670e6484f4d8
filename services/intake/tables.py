"""The tables of intake. No other service reads them.

Only six tables hold what could identify a person, each row encrypted under its own key: `vault`
(identity and complaint text), `hotline_drafts` (unregistered hotline tickets), `supplements`,
`summary_drafts` (redacted summaries that nobody released yet), `visits` and `findings` (what
inspectors wrote). A row of `form_drafts` (an
unfinished public form) is encrypted under a key that only the complainant's browser has.
"""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from services.intake.domain.identities import Identity
from services.intake.domain.identity_openings import OpeningPurpose
from services.intake.domain.token_batches import TokenUse
from shared.appraisal.labels import (
    ComplaintChannel,
    ComplaintKind,
    IntegrityKind,
    Role,
    Severity,
    Urgency,
    VisitMode,
)
from shared.storage.access import CHANGED, CHANGED_AND_DELETED, Access
from shared.storage.audited import Audited
from shared.storage.columns import (
    bigint_column,
    identity_column,
    one_of,
    optional_text_column,
    text_column,
    timestamp_column,
)
from shared.storage.schema import registry_for


class Base(SQLModel, registry=registry_for("intake")):
    """Base class of intake's tables."""


def campaign_column(*, primary_key: bool = False, index: bool = False) -> Any:
    """The campaign that a row belongs to."""
    key = ForeignKey("intake.campaigns.id")
    return Field(
        sa_column=Column(Text, key, primary_key=primary_key, nullable=False, index=index or None)
    )


class SealedColumns(SQLModel):
    """Columns of a record that is encrypted under its own key. Without `wrapped_key` it is lost."""

    ciphertext: bytes
    wrapped_key: bytes | None = None
    key_version: int


# ── reference data, from the topic `campaigns` ────────────────────────────────────────────────────


class CampaignRow(Base, table=True):
    """评议活动 as scoring last published it. `revision` is the version of that event."""

    __tablename__ = "campaigns"
    id: str = text_column(primary_key=True)
    title: str = text_column()
    year: int
    scheme: str = text_column()
    scheme_version: str = text_column()
    revision: int = bigint_column()
    published_at: datetime = timestamp_column()


class CampaignUnitRow(Base, table=True):
    """A unit enrolled in a campaign."""

    __tablename__ = "units"
    __table_args__ = (Index("uq_units_unit_no", "campaign_id", "unit_no", unique=True),)
    campaign_id: str = campaign_column(primary_key=True)
    unit_id: str = text_column(primary_key=True)
    unit_no: int
    name: str = text_column()
    category: str = text_column()
    aliases: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))


# ── complaints ────────────────────────────────────────────────────────────────────────────────────


class ComplaintRow(Base, table=True):
    """A complaint without its text and without its complainant: both are in `vault`.

    `redacted_summary` (转办摘要) is the text that a person released last, empty before the first
    release. `complainant_fingerprint` finds earlier complaints from the same telephone number.

    `accused_unit_ids` are the bodies that a 举报 accuses: the unit that the complainant named,
    until a person records them (`accused_records`). `excluded_unit_ids` are all bodies whose people
    may not learn of it: what follows from the accused by the scheme and by the register as it is.
    """

    __tablename__ = "complaints"
    __table_args__ = (
        one_of("channel", ComplaintChannel),
        one_of("kind", ComplaintKind),
        one_of("urgency", Urgency),
        one_of("identity", Identity),
        # Similar complaints are searched among the same unit's last days, so that no trigram index
        # has to be maintained on every insert.
        Index("ix_complaints_of_unit", "campaign_id", "unit_id", "received_at"),
        Index(
            "ix_complaints_of_complainant",
            "complainant_fingerprint",
            postgresql_where="complainant_fingerprint is not null",
        ),
        Index("ix_complaints_accused", "id", postgresql_where="accused_unit_ids <> '{}'"),
        Index("ix_complaints_of_operator", "registered_by", "registered_at"),
    )
    id: UUID = Field(primary_key=True)
    number: str = text_column(unique=True)
    campaign_id: str = campaign_column()
    channel: str = text_column()
    kind: str = text_column()
    urgency: str = text_column()
    urgency_reason: str = text_column(default="")
    identity: str = text_column()
    unit_id: str | None = optional_text_column()
    accused_unit_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    excluded_unit_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    problem_item: str | None = optional_text_column()
    redacted_summary: str = text_column()
    received_at: datetime = timestamp_column()
    registered_at: datetime = timestamp_column()
    registered_by: UUID | None = None
    complainant_fingerprint: bytes | None = None
    repeats: int = 0
    merged_into: UUID | None = None


class RetaliationLink(Base, table=True):
    """打击报复: a complaint says that its complainant suffers because of the complaint `source_id`.

    A reviewer confirmed it. Rows are only ever inserted.
    """

    __tablename__ = "retaliation_links"
    complaint_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id")
    source_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id", index=True)
    linked_by: UUID
    linked_at: datetime = timestamp_column()


class AccusedRecordRow(Base, table=True):
    """被举报单位登记: who recorded whom a 举报 accuses, and why.

    Rows are only ever inserted: `record` counts from 1, a later one replaces the earlier. No
    `unit_ids` means that no body can be named. `reason` says why not, or why a body was removed.
    """

    __tablename__ = "accused_records"
    complaint_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id")
    record: int = Field(primary_key=True)
    unit_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    reason: str = text_column()
    recorded_by: UUID
    recorded_at: datetime = timestamp_column()


class VaultPart(Base, SealedColumns, table=True):
    """One sealed part of a complaint: `identity` (who, and how to reach them) or `statement`
    (诉求原文, place, time as stated).
    """

    __tablename__ = "vault"
    __table_args__ = (one_of("part", ("identity", "statement")),)
    complaint_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id")
    part: str = text_column(primary_key=True)


class ComplaintSupplement(Base, SealedColumns, table=True):
    """补充说明 to a complaint, added after its registration; sealed like the statement."""

    __tablename__ = "supplements"
    id: UUID = Field(primary_key=True)
    complaint_id: UUID = Field(foreign_key="intake.complaints.id", index=True)
    by: UUID
    at: datetime = timestamp_column()


class SummaryDraft(Base, SealedColumns, table=True):
    """转办摘要 that awaits its release: of a complaint or a finding, which has a row here exactly
    while it awaits one.

    `author_id` is who wrote the text last, None if it was drafted from the original.
    `version` grows when another person takes over the draft.
    """

    __tablename__ = "summary_drafts"
    subject_id: UUID = Field(primary_key=True)
    version: int = 1
    author_id: UUID | None = None
    saved_at: datetime = timestamp_column()


class SummaryRelease(Base, table=True):
    """放行 of the redacted summary of a complaint or a finding: who released which text, and from
    which version of the original.

    Rows are only ever inserted: `release` counts from 1, a later one corrects the earlier.
    `original_version` is 1 and the number of supplements. `confirmed`: the kinds of personal data
    that stay in the text, each with the reason.
    """

    __tablename__ = "summary_releases"
    subject_id: UUID = Field(primary_key=True)
    release: int = Field(primary_key=True)
    redacted_summary: str = text_column()
    author_id: UUID | None = None
    released_by: UUID
    released_at: datetime = timestamp_column()
    original_version: int
    confirmed: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False))


class HotlineDraft(Base, SealedColumns, table=True):
    """A complaint being written at the hotline desk, sealed."""

    __tablename__ = "hotline_drafts"
    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="intake.accounts.id", index=True)
    started_at: datetime = timestamp_column()
    saved_at: datetime = timestamp_column()


# ── what the complainant can follow ───────────────────────────────────────────────────────────────


class ComplaintProgress(Base, table=True):
    """办理进度 of a complaint, from casework's events: dates and the public reply, no person."""

    __tablename__ = "progress"
    complaint_id: UUID = Field(primary_key=True)
    case_id: UUID = Field(unique=True)
    case_number: str = text_column()
    unit_id: str | None = optional_text_column()
    opened_at: datetime = timestamp_column()
    release_due_at: datetime | None = timestamp_column(nullable=True)
    assigned_at: datetime | None = timestamp_column(nullable=True)
    accepted_at: datetime | None = timestamp_column(nullable=True)
    closed_at: datetime | None = timestamp_column(nullable=True)
    refused_at: datetime | None = timestamp_column(nullable=True)
    explanation: str = text_column(default="")
    due_at: datetime | None = timestamp_column(nullable=True)
    provisional: bool = False
    finding: str | None = optional_text_column()
    reply: str = text_column(default="")
    updated_at: datetime = timestamp_column()


class ComplaintRating(Base, table=True):
    """来件人评价, once for each complaint."""

    __tablename__ = "ratings"
    complaint_id: UUID = Field(primary_key=True, foreign_key="intake.complaints.id")
    option: int
    reason: str = text_column(default="")
    at: datetime = timestamp_column()


class WrittenOpinion(Base, table=True):
    """A respondent's own words about a unit, encrypted under its own key.

    It leads to no ballot, code or person: `received_hour` is cut to the hour, and the id is random.
    """

    __tablename__ = "written_opinions"
    id: UUID = Field(primary_key=True)
    campaign_id: str = text_column()
    instrument: str = text_column()
    group: str = text_column()
    unit_no: int
    item_no: int
    ciphertext: bytes
    wrapped_key: bytes
    key_version: int
    received_hour: datetime = timestamp_column(index=True)


class FormDraft(Base, table=True):
    """An unfinished public form, kept for two hours.

    `id` is the hash of the token that also decrypts `body`.
    """

    __tablename__ = "form_drafts"
    id: bytes = Field(primary_key=True)
    body: bytes
    expires_at: datetime = timestamp_column(index=True)


# ── ballots ───────────────────────────────────────────────────────────────────────────────────────


class TokenBatchRow(Base, table=True):
    """A batch of questionnaire codes for one campaign, instrument and group.

    `one_use`: codes that are printed or sent, each good for one ballot; `place`: one short code
    displayed in the hall of `unit_id`, good for one ballot from each device; `paper`: imported
    ballots, which had no code. No code belongs to a person, and a batch has no label but those of
    the scheme. Its codes exist since a second person opened it (`opened_at`). `expected`: the
    ballots that may be cast with it, None for paper. `released`: its ballots that were released.
    `examined`: how many ballots it had when their answers were last compared.
    """

    __tablename__ = "token_batches"
    __table_args__ = (one_of("use", TokenUse),)
    id: UUID = Field(primary_key=True)
    campaign_id: str = campaign_column(index=True)
    instrument: str = text_column()
    group: str = text_column()
    unit_id: str | None = optional_text_column()
    use: str = text_column()
    issued: int
    issued_at: datetime = timestamp_column()
    issued_by: UUID
    opened_at: datetime | None = timestamp_column(nullable=True)
    opened_by: UUID | None = None
    closes_on: date
    flooded_at: datetime | None = timestamp_column(nullable=True)
    expected: int | None = None
    released: int = 0
    examined: int = 0


class Token(Base, table=True):
    """The SHA-256 of a code. The row never changes: only the ballot shows that a code was used."""

    __tablename__ = "tokens"
    hash: bytes = Field(primary_key=True)
    batch_id: UUID = Field(foreign_key="intake.token_batches.id", index=True)


class SpentCode(Base, table=True):
    """A code that was used (a place's code: on one device).

    `id` is derived from the code and does not lead back to it; `receipt` recognises a retry of the
    same submission.
    """

    __tablename__ = "spent_codes"
    campaign_id: str = text_column(primary_key=True)
    id: UUID = Field(primary_key=True)
    receipt: bytes


class WaitingBallot(Base, table=True):
    """A packed ballot that waits to be released together with others. `id` is random."""

    __tablename__ = "waiting_ballots"
    id: UUID = Field(primary_key=True)
    campaign_id: str = text_column()
    batch_id: UUID = Field(foreign_key="intake.token_batches.id", index=True)
    answers: bytes


class StoredBallot(Base, table=True):
    """A packed ballot that was released to be counted.

    It was rewritten in random order under another random `id`, so that neither the row nor its
    place leads to the code. No time of the vote is stored.
    """

    __tablename__ = "ballots"
    __table_args__ = (
        Index("ix_ballots_of_batch", "batch_id"),
        {"postgresql_partition_by": "LIST (campaign_id)"},
    )
    campaign_id: str = text_column(primary_key=True)
    id: UUID = Field(primary_key=True)
    batch_id: UUID
    answers: bytes
    released_hour: datetime = timestamp_column()


class IdentityOpeningRow(Base, table=True):
    """An approved opening of a complainant's identity. `id` is that of the request."""

    __tablename__ = "identity_openings"
    __table_args__ = (one_of("purpose", OpeningPurpose),)
    id: UUID = Field(primary_key=True)
    complaint_id: UUID = Field(foreign_key="intake.complaints.id", index=True)
    purpose: str = text_column()
    granted_to: UUID = Field(foreign_key="intake.accounts.id")
    granted_at: datetime = timestamp_column()
    opened_at: datetime | None = timestamp_column(nullable=True, index=True)


class IntegrityEvent(Base, table=True):
    """疑似异常: a detector's suspicion against the ballots of a batch, which holds them.

    `evidence`: counts, never answers of one ballot. `ballots`: those of the batch when it was
    raised, then when two people decided.
    """

    __tablename__ = "integrity_events"
    __table_args__ = (
        one_of("kind", IntegrityKind),
        Index(
            "uq_integrity_events_open",
            "batch_id",
            "kind",
            unique=True,
            postgresql_where="decided_at is null",
        ),
        Index("ix_integrity_events_of_campaign", "campaign_id", "raised_at"),
    )
    id: UUID = Field(primary_key=True)
    kind: str = text_column()
    campaign_id: str = campaign_column()
    batch_id: UUID = Field(foreign_key="intake.token_batches.id")
    ballots: int
    evidence: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))
    raised_at: datetime = timestamp_column()
    verdict: str | None = optional_text_column()
    reason: str = text_column(default="")
    proposed_by: UUID | None = None
    decided_by: UUID | None = None
    decided_at: datetime | None = timestamp_column(nullable=True)


class BallotReversal(Base, table=True):
    """作废: reverses a released ballot, which stays where it is. `event_id`: the decision."""

    __tablename__ = "voided_ballots"
    campaign_id: str = text_column(primary_key=True)
    ballot_id: UUID = Field(primary_key=True)
    event_id: UUID = Field(foreign_key="intake.integrity_events.id", index=True)


# ── inspections and files ─────────────────────────────────────────────────────────────────────────


class RoundRow(Base, table=True):
    """检查轮次: a team of inspectors visits units between two days, both included.

    No units mean all of the campaign. `closed_at`: the office ended it before its last day.
    """

    __tablename__ = "inspection_rounds"
    __table_args__ = (
        one_of("mode", VisitMode),
        CheckConstraint("begins_on <= ends_on", name="days"),
    )
    id: UUID = Field(primary_key=True)
    campaign_id: str = campaign_column()
    name: str = text_column()
    mode: str = text_column()
    begins_on: date
    ends_on: date
    team: list[UUID] = Field(sa_column=Column(ARRAY(Uuid()), nullable=False))
    units: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = timestamp_column()
    closed_at: datetime | None = timestamp_column(nullable=True)


class VisitRow(Base, SealedColumns, table=True):
    """One recorded inspection; its place, its items and its remarks are sealed.

    All its photos are stored (`completed_at`), reviewers get its findings (`registered_at`), it
    counts and units learn of it (`handed_over_at`): the visits of a `batch_id` together. That is
    the round of a covert visit, the visit itself otherwise.
    """

    __tablename__ = "visits"
    __table_args__ = (
        one_of("mode", VisitMode),
        Index("ix_visits_of_inspector", "inspector_id", "received_at"),
        Index(
            "ix_visits_not_handed_over",
            "batch_id",
            postgresql_where="handed_over_at is null",
        ),
    )
    id: UUID = Field(primary_key=True)
    number: str = text_column(unique=True)
    round_id: UUID | None = Field(None, foreign_key="intake.inspection_rounds.id")
    batch_id: UUID
    campaign_id: str = campaign_column()
    unit_id: str = text_column()
    mode: str = text_column()
    inspector_id: UUID
    visited_at: datetime = timestamp_column()
    device_at: datetime | None = timestamp_column(nullable=True)
    received_at: datetime = timestamp_column()
    skew_seconds: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_metres: float | None = None
    photos: list[str] = Field(sa_column=Column(ARRAY(String(64)), nullable=False))
    digest: bytes
    completed_at: datetime | None = timestamp_column(nullable=True)
    registered_at: datetime | None = timestamp_column(nullable=True)
    handed_over_at: datetime | None = timestamp_column(nullable=True)


class FindingRow(Base, SealedColumns, table=True):
    """巡查发现的问题. What the inspector wrote is sealed; `redacted_summary` is what a person
    released last, empty before.

    `case_id` and `release_due_at` come from casework once its case is open.
    """

    __tablename__ = "findings"
    __table_args__ = (one_of("severity", Severity),)
    id: UUID = Field(primary_key=True)
    visit_id: UUID = Field(foreign_key="intake.visits.id", index=True)
    position: int
    number: str = text_column(unique=True)
    item_id: str = text_column()
    severity: str = text_column()
    redacted_summary: str = text_column(default="")
    case_id: UUID | None = Field(None, index=True)
    release_due_at: datetime | None = timestamp_column(nullable=True)


class StoredFile(Base, SealedColumns, table=True):
    """A picture or document on disk, encrypted under its own key, which is sealed here.

    `subject_id` is the visit, complaint or form draft that the file belongs to. `derived`: a copy
    without metadata is on disk as well.
    """

    __tablename__ = "files"
    __table_args__ = (
        one_of("subject", ("visit", "complaint", "form_draft")),
        Index("uq_files_subject", "subject_id", "sha256", unique=True),
    )
    id: UUID = Field(primary_key=True)
    subject: str = text_column()
    subject_id: UUID
    sha256: bytes
    media_type: str = text_column()
    size: int = bigint_column()
    derived: bool = False
    stored_by: UUID | None = None
    stored_at: datetime = timestamp_column()
    released_at: datetime | None = timestamp_column(nullable=True)
    released_by: UUID | None = None


# ── imports ───────────────────────────────────────────────────────────────────────────────────────


class ImportRun(Base, table=True):
    """One import of a file through a mapping, with the counts of its rows so far."""

    __tablename__ = "imports"
    __table_args__ = (
        one_of("kind", ("complaints", "ballots", "visits")),
        one_of("state", ("running", "finished", "stopped")),
    )
    id: UUID = Field(primary_key=True)
    kind: str = text_column()
    source: str = text_column()
    file_name: str = text_column()
    campaign_id: str = text_column()
    dry_run: bool = False
    state: str = text_column()
    total: int = 0
    done: int = 0
    repeated: int = 0
    rejected: int = 0
    by: UUID
    started_at: datetime = timestamp_column()
    ended_at: datetime | None = timestamp_column(nullable=True)


class ImportedRow(Base, table=True):
    """A row of a source that was imported: importing it again changes nothing."""

    __tablename__ = "import_rows"
    source: str = text_column(primary_key=True)
    row_id: str = text_column(primary_key=True)
    import_id: UUID = Field(foreign_key="intake.imports.id")


class RejectedRow(Base, table=True):
    """A row that was rejected: its line in the file, the column and the reason, no content."""

    __tablename__ = "import_errors"
    id: int | None = identity_column()
    import_id: UUID = Field(foreign_key="intake.imports.id", index=True)
    line: int
    column: str = text_column(default="")
    reason: str = text_column(default="")


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────


class AccountRow(Base, table=True):
    """An account. `name` is lower case; the password is an argon2id hash."""

    __tablename__ = "accounts"
    __table_args__ = (one_of("role", Role),)
    id: UUID = Field(primary_key=True)
    name: str = text_column(unique=True)
    display_name: str = text_column()
    role: str = text_column()
    unit_id: str | None = optional_text_column()
    password_hash: str = text_column()
    disabled: bool = False
    created_at: datetime = timestamp_column()
    password_changed_at: datetime = timestamp_column()


class LoginRow(Base, table=True):
    """最近登录: when and on what kind of device, never from where."""

    __tablename__ = "logins"
    __table_args__ = (Index("ix_logins_of_account", "account_id", "at"),)
    id: int | None = identity_column()
    account_id: UUID = Field(foreign_key="intake.accounts.id")
    at: datetime = timestamp_column()
    device: str = text_column()


class SecondFactorRow(Base, SealedColumns, table=True):
    """动态口令 of an account: the sealed secret. It counts once a first code was entered
    (`confirmed_at`). `last_step` is the newest time step whose code was accepted.
    """

    __tablename__ = "second_factors"
    account_id: UUID = Field(primary_key=True, foreign_key="intake.accounts.id")
    created_at: datetime = timestamp_column()
    confirmed_at: datetime | None = timestamp_column(nullable=True)
    last_step: int = bigint_column()


class RecoveryCodeRow(Base, table=True):
    """恢复码 of an account: its keyed hash, good for one sign-in."""

    __tablename__ = "recovery_codes"
    account_id: UUID = Field(primary_key=True, foreign_key="intake.accounts.id")
    digest: bytes = Field(primary_key=True)
    used_at: datetime | None = timestamp_column(nullable=True)


ACCESS: Final = {
    "campaigns": CHANGED,
    "units": Access(delete=True),
    "complaints": CHANGED,
    "summary_drafts": CHANGED_AND_DELETED,
    "waiting_ballots": Access(update=("batch_id",), delete=True),
    "vault": Access(update=("wrapped_key", "key_version")),
    "supplements": Access(update=("wrapped_key", "key_version")),
    "identity_openings": Access(update=("opened_at",)),
    "written_opinions": Access(update=("wrapped_key", "key_version")),
    "hotline_drafts": CHANGED_AND_DELETED,
    "form_drafts": CHANGED_AND_DELETED,
    "progress": CHANGED,
    "token_batches": Access(
        update=(
            "issued",
            "opened_at",
            "opened_by",
            "flooded_at",
            "released",
            "examined",
            "closes_on",
        )
    ),
    "integrity_events": Access(
        update=("verdict", "reason", "proposed_by", "decided_by", "decided_at", "ballots")
    ),
    "inspection_rounds": Access(
        update=("name", "mode", "begins_on", "ends_on", "team", "units", "closed_at")
    ),
    "visits": Access(
        update=(
            "completed_at",
            "registered_at",
            "handed_over_at",
            "latitude",
            "longitude",
            "accuracy_metres",
            "visited_at",
            "device_at",
            "skew_seconds",
            "wrapped_key",
            "key_version",
        )
    ),
    "findings": Access(
        update=("redacted_summary", "case_id", "release_due_at", "wrapped_key", "key_version")
    ),
    "files": Access(
        update=(
            "subject",
            "subject_id",
            "released_at",
            "released_by",
            "wrapped_key",
            "key_version",
        ),
        delete=True,
    ),
    "imports": Access(update=("state", "done", "repeated", "rejected", "ended_at")),
    "import_rows": Access(delete=True),
    "accounts": CHANGED,
    "logins": Access(delete=True),
    "second_factors": CHANGED_AND_DELETED,
    "recovery_codes": Access(update=("used_at",), delete=True),
}
"""What may be done to the tables that are not append-only; see `shared.storage.access`."""

AUDITED: Final = (
    Audited("accounts", "account.%", on="insert or update or delete"),
    Audited(
        "second_factors",
        "account.second_factor%",
        subject=("account_id",),
        on="update of confirmed_at or delete",
    ),
    Audited("recovery_codes", "account.%", subject=("account_id",)),
    Audited("complaints", "complaint.registered"),
    Audited("complaints", "complaint.%merged", on="update of merged_into"),
    Audited("summary_releases", "summary.released", subject=("subject_id",)),
    Audited(
        "vault",
        "complainant.data_erased",
        subject=("complaint_id",),
        on="update of wrapped_key",
        when="new.wrapped_key is null",
    ),
    Audited(
        "identity_openings",
        "identity.opened",
        subject=("complaint_id",),
        on="update of opened_at",
    ),
    Audited("identity_openings", "identity.opening_granted", subject=("complaint_id",)),
    Audited("files", "attachment.released", on="update of released_at"),
    Audited("token_batches", "tokens.requested", when="new.use <> 'paper'"),
    Audited("token_batches", "tokens.opened", on="update of opened_at"),
    Audited("tokens", "tokens.opened", subject=("batch_id",)),
    Audited("visits", "visit.submitted"),
    Audited("imports", "import.started"),
)
"""Changes that need an audit entry; see `shared.storage.audited`."""
