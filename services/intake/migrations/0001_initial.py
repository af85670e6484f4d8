"""Intake's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import await_only

from shared.storage.schema import CORE_DDL, partitions_ddl

revision = "intake_0001"
down_revision = None
branch_labels = None
depends_on = None


def run(script: str) -> None:
    # Several statements at once: only the driver itself takes them.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "a migration runs on a connection"
    await_only(driver.execute(script))


def create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("password_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "role in ('operator', 'reviewer', 'handler', 'unit_head', 'supervisor', 'office', 'inspector', 'leader', 'admin', 'auditor', 'custodian')",
            name=op.f("ck_accounts_role"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
        schema="intake",
    )


def create_ballots() -> None:
    op.create_table(
        "ballots",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=False),
        sa.Column("released_hour", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "id", name=op.f("pk_ballots")),
        schema="intake",
        postgresql_partition_by="LIST (campaign_id)",
    )
    op.create_index("ix_ballots_of_batch", "ballots", ["batch_id"], unique=False, schema="intake")
    run("create table ballots_part_default partition of ballots default")


def create_spent_codes() -> None:
    op.create_table(
        "spent_codes",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "id", name=op.f("pk_spent_codes")),
        schema="intake",
    )


def create_waiting_ballots() -> None:
    op.create_table(
        "waiting_ballots",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["intake.token_batches.id"],
            name=op.f("fk_waiting_ballots_batch_id_token_batches"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waiting_ballots")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_waiting_ballots_batch_id"),
        "waiting_ballots",
        ["batch_id"],
        unique=False,
        schema="intake",
    )


def create_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        schema="intake",
    )


def create_files() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("derived", sa.Boolean(), nullable=False),
        sa.Column("stored_by", sa.Uuid(), nullable=True),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_by", sa.Uuid(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "subject in ('visit', 'complaint', 'form_draft')", name=op.f("ck_files_subject")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        schema="intake",
    )
    op.create_index(
        "uq_files_subject", "files", ["subject_id", "sha256"], unique=True, schema="intake"
    )


def create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("repeated", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind in ('complaints', 'ballots', 'visits')", name=op.f("ck_imports_kind")
        ),
        sa.CheckConstraint(
            "state in ('running', 'finished', 'stopped')", name=op.f("ck_imports_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        schema="intake",
    )


def create_progress() -> None:
    op.create_table(
        "progress",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("case_number", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("complaint_id", name=op.f("pk_progress")),
        sa.UniqueConstraint("case_id", name=op.f("uq_progress_case_id")),
        schema="intake",
    )


def create_written_opinions() -> None:
    op.create_table(
        "written_opinions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("unit_no", sa.Integer(), nullable=False),
        sa.Column("item_no", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("received_hour", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_written_opinions")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_written_opinions_received_hour"),
        "written_opinions",
        ["received_hour"],
        unique=False,
        schema="intake",
    )


def create_form_drafts() -> None:
    op.create_table(
        "form_drafts",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_form_drafts")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_form_drafts_expires_at"),
        "form_drafts",
        ["expires_at"],
        unique=False,
        schema="intake",
    )


def create_complaints() -> None:
    op.create_table(
        "complaints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("urgency_reason", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("accused_unit_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("excluded_unit_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("problem_item", sa.Text(), nullable=True),
        sa.Column("redacted_summary", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_by", sa.Uuid(), nullable=True),
        sa.Column("complainant_fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "channel in ('hotline', 'online', 'letter', 'counter', 'import')",
            name=op.f("ck_complaints_channel"),
        ),
        sa.CheckConstraint(
            "identity in ('real_name', 'confidential', 'anonymous')",
            name=op.f("ck_complaints_identity"),
        ),
        sa.CheckConstraint(
            "kind in ('complaint', 'report', 'suggestion', 'inquiry', 'praise', 'finding')",
            name=op.f("ck_complaints_kind"),
        ),
        sa.CheckConstraint(
            "urgency in ('normal', 'urgent', 'critical')", name=op.f("ck_complaints_urgency")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["intake.campaigns.id"],
            name=op.f("fk_complaints_campaign_id_campaigns"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_complaints")),
        sa.UniqueConstraint("number", name=op.f("uq_complaints_number")),
        schema="intake",
    )
    op.create_index(
        "ix_complaints_of_complainant",
        "complaints",
        ["complainant_fingerprint"],
        unique=False,
        schema="intake",
        postgresql_where="complainant_fingerprint is not null",
    )
    op.create_index(
        "ix_complaints_accused",
        "complaints",
        ["id"],
        unique=False,
        schema="intake",
        postgresql_where="accused_unit_ids <> '{}'",
    )
    op.create_index(
        "ix_complaints_of_operator",
        "complaints",
        ["registered_by", "registered_at"],
        unique=False,
        schema="intake",
    )
    op.create_index(
        "ix_complaints_of_unit",
        "complaints",
        ["campaign_id", "unit_id", "received_at"],
        unique=False,
        schema="intake",
    )


def create_retaliation_links() -> None:
    op.create_table(
        "retaliation_links",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("linked_by", sa.Uuid(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["complaint_id"],
            ["intake.complaints.id"],
            name=op.f("fk_retaliation_links_complaint_id_complaints"),
        ),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["intake.complaints.id"],
            name=op.f("fk_retaliation_links_source_id_complaints"),
        ),
        sa.PrimaryKeyConstraint("complaint_id", "source_id", name=op.f("pk_retaliation_links")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_retaliation_links_source_id"),
        "retaliation_links",
        ["source_id"],
        unique=False,
        schema="intake",
    )


def create_hotline_drafts() -> None:
    op.create_table(
        "hotline_drafts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["intake.accounts.id"],
            name=op.f("fk_hotline_drafts_account_id_accounts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hotline_drafts")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_hotline_drafts_account_id"),
        "hotline_drafts",
        ["account_id"],
        unique=False,
        schema="intake",
    )


def create_identity_openings() -> None:
    op.create_table(
        "identity_openings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("granted_to", sa.Uuid(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose in ('call_back', 'verification', 'protection', 'lawful_request')",
            name=op.f("ck_identity_openings_purpose"),
        ),
        sa.ForeignKeyConstraint(
            ["complaint_id"],
            ["intake.complaints.id"],
            name=op.f("fk_identity_openings_complaint_id_complaints"),
        ),
        sa.ForeignKeyConstraint(
            ["granted_to"],
            ["intake.accounts.id"],
            name=op.f("fk_identity_openings_granted_to_accounts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_openings")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_identity_openings_complaint_id"),
        "identity_openings",
        ["complaint_id"],
        unique=False,
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_identity_openings_opened_at"),
        "identity_openings",
        ["opened_at"],
        unique=False,
        schema="intake",
    )


def create_import_errors() -> None:
    op.create_table(
        "import_errors",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["intake.imports.id"], name=op.f("fk_import_errors_import_id_imports")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_errors")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_import_errors_import_id"),
        "import_errors",
        ["import_id"],
        unique=False,
        schema="intake",
    )


def create_import_rows() -> None:
    op.create_table(
        "import_rows",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["intake.imports.id"], name=op.f("fk_import_rows_import_id_imports")
        ),
        sa.PrimaryKeyConstraint("source", "row_id", name=op.f("pk_import_rows")),
        schema="intake",
    )


def create_logins() -> None:
    op.create_table(
        "logins",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["intake.accounts.id"], name=op.f("fk_logins_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logins")),
        schema="intake",
    )
    op.create_index(
        "ix_logins_of_account", "logins", ["account_id", "at"], unique=False, schema="intake"
    )


def create_second_factors() -> None:
    op.create_table(
        "second_factors",
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["intake.accounts.id"],
            name=op.f("fk_second_factors_account_id_accounts"),
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_second_factors")),
        schema="intake",
    )


def create_recovery_codes() -> None:
    op.create_table(
        "recovery_codes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["intake.accounts.id"],
            name=op.f("fk_recovery_codes_account_id_accounts"),
        ),
        sa.PrimaryKeyConstraint("account_id", "digest", name=op.f("pk_recovery_codes")),
        schema="intake",
    )


def create_token_batches() -> None:
    op.create_table(
        "token_batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("issued", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_by", sa.Uuid(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_by", sa.Uuid(), nullable=True),
        sa.Column("closes_on", sa.Date(), nullable=False),
        sa.Column("flooded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("released", sa.Integer(), nullable=False),
        sa.Column("examined", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "use in ('one_use', 'place', 'paper')", name=op.f("ck_token_batches_use")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["intake.campaigns.id"],
            name=op.f("fk_token_batches_campaign_id_campaigns"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_batches")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_token_batches_campaign_id"),
        "token_batches",
        ["campaign_id"],
        unique=False,
        schema="intake",
    )


def create_integrity_events() -> None:
    op.create_table(
        "integrity_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("ballots", sa.Integer(), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind in ('excess', 'burst', 'identical', 'one_source', 'staff_source', "
            "'cross_rating')",
            name=op.f("ck_integrity_events_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["intake.campaigns.id"],
            name=op.f("fk_integrity_events_campaign_id_campaigns"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"],
            ["intake.token_batches.id"],
            name=op.f("fk_integrity_events_batch_id_token_batches"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integrity_events")),
        schema="intake",
    )
    op.create_index(
        "ix_integrity_events_of_campaign",
        "integrity_events",
        ["campaign_id", "raised_at"],
        unique=False,
        schema="intake",
    )
    op.create_index(
        "uq_integrity_events_open",
        "integrity_events",
        ["batch_id", "kind"],
        unique=True,
        schema="intake",
        postgresql_where="decided_at is null",
    )


def create_voided_ballots() -> None:
    op.create_table(
        "voided_ballots",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("ballot_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["intake.integrity_events.id"],
            name=op.f("fk_voided_ballots_event_id_integrity_events"),
        ),
        sa.PrimaryKeyConstraint("campaign_id", "ballot_id", name=op.f("pk_voided_ballots")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_voided_ballots_event_id"),
        "voided_ballots",
        ["event_id"],
        unique=False,
        schema="intake",
    )


def create_units() -> None:
    op.create_table(
        "units",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("unit_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("aliases", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["intake.campaigns.id"], name=op.f("fk_units_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "unit_id", name=op.f("pk_units")),
        schema="intake",
    )
    op.create_index(
        "uq_units_unit_no", "units", ["campaign_id", "unit_no"], unique=True, schema="intake"
    )


def create_inspection_rounds() -> None:
    op.create_table(
        "inspection_rounds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("begins_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("team", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("units", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("begins_on <= ends_on", name=op.f("ck_inspection_rounds_days")),
        sa.CheckConstraint(
            "mode in ('announced', 'covert')", name=op.f("ck_inspection_rounds_mode")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["intake.campaigns.id"],
            name=op.f("fk_inspection_rounds_campaign_id_campaigns"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspection_rounds")),
        schema="intake",
    )


def create_visits() -> None:
    op.create_table(
        "visits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("round_id", sa.Uuid(), nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("inspector_id", sa.Uuid(), nullable=False),
        sa.Column("visited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("device_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("skew_seconds", sa.Integer(), nullable=True),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column("accuracy_metres", sa.Float(), nullable=True),
        sa.Column("photos", postgresql.ARRAY(sa.String(length=64)), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handed_over_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.CheckConstraint("mode in ('announced', 'covert')", name=op.f("ck_visits_mode")),
        sa.ForeignKeyConstraint(
            ["round_id"],
            ["intake.inspection_rounds.id"],
            name=op.f("fk_visits_round_id_inspection_rounds"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["intake.campaigns.id"], name=op.f("fk_visits_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visits")),
        sa.UniqueConstraint("number", name=op.f("uq_visits_number")),
        schema="intake",
    )
    op.create_index(
        "ix_visits_of_inspector",
        "visits",
        ["inspector_id", "received_at"],
        unique=False,
        schema="intake",
    )
    op.create_index(
        "ix_visits_not_handed_over",
        "visits",
        ["batch_id"],
        unique=False,
        schema="intake",
        postgresql_where="handed_over_at is null",
    )


def create_findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("redacted_summary", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("release_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "severity in ('minor', 'ordinary', 'serious')", name=op.f("ck_findings_severity")
        ),
        sa.ForeignKeyConstraint(
            ["visit_id"], ["intake.visits.id"], name=op.f("fk_findings_visit_id_visits")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
        sa.UniqueConstraint("number", name=op.f("uq_findings_number")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_findings_case_id"), "findings", ["case_id"], unique=False, schema="intake"
    )
    op.create_index(
        op.f("ix_intake_findings_visit_id"), "findings", ["visit_id"], unique=False, schema="intake"
    )


def create_ratings() -> None:
    op.create_table(
        "ratings",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("option", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["complaint_id"],
            ["intake.complaints.id"],
            name=op.f("fk_ratings_complaint_id_complaints"),
        ),
        sa.PrimaryKeyConstraint("complaint_id", name=op.f("pk_ratings")),
        schema="intake",
    )


def create_summary_drafts() -> None:
    op.create_table(
        "summary_drafts",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_summary_drafts")),
        schema="intake",
    )


def create_summary_releases() -> None:
    op.create_table(
        "summary_releases",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("redacted_summary", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("released_by", sa.Uuid(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("original_version", sa.Integer(), nullable=False),
        sa.Column("confirmed", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "release", name=op.f("pk_summary_releases")),
        schema="intake",
    )


def create_accused_records() -> None:
    op.create_table(
        "accused_records",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("record", sa.Integer(), nullable=False),
        sa.Column("unit_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["complaint_id"],
            ["intake.complaints.id"],
            name=op.f("fk_accused_records_complaint_id_complaints"),
        ),
        sa.PrimaryKeyConstraint("complaint_id", "record", name=op.f("pk_accused_records")),
        schema="intake",
    )


def create_supplements() -> None:
    op.create_table(
        "supplements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["complaint_id"],
            ["intake.complaints.id"],
            name=op.f("fk_supplements_complaint_id_complaints"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supplements")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_supplements_complaint_id"),
        "supplements",
        ["complaint_id"],
        unique=False,
        schema="intake",
    )


def create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["intake.token_batches.id"], name=op.f("fk_tokens_batch_id_token_batches")
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_tokens")),
        schema="intake",
    )
    op.create_index(
        op.f("ix_intake_tokens_batch_id"), "tokens", ["batch_id"], unique=False, schema="intake"
    )


def create_vault() -> None:
    op.create_table(
        "vault",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.CheckConstraint("part in ('identity', 'statement')", name=op.f("ck_vault_part")),
        sa.ForeignKeyConstraint(
            ["complaint_id"],
            ["intake.complaints.id"],
            name=op.f("fk_vault_complaint_id_complaints"),
        ),
        sa.PrimaryKeyConstraint("complaint_id", "part", name=op.f("pk_vault")),
        schema="intake",
    )


def upgrade() -> None:
    run(CORE_DDL)
    run("create sequence complaint_numbers")
    create_accounts()
    create_ballots()
    create_spent_codes()
    create_campaigns()
    create_files()
    create_imports()
    create_progress()
    create_form_drafts()
    create_written_opinions()
    create_complaints()
    create_retaliation_links()
    create_hotline_drafts()
    create_identity_openings()
    create_import_errors()
    create_import_rows()
    create_logins()
    create_second_factors()
    create_recovery_codes()
    create_token_batches()
    create_waiting_ballots()
    create_integrity_events()
    create_voided_ballots()
    create_units()
    create_inspection_rounds()
    create_visits()
    create_findings()
    create_ratings()
    create_summary_drafts()
    create_summary_releases()
    create_accused_records()
    create_supplements()
    create_tokens()
    create_vault()
    run(partitions_ddl("intake", ("ballots",)))


def downgrade() -> None:
    raise NotImplementedError("a schema only ever goes forward; restore a backup instead")
