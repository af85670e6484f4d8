"""The tables that every service has, then cases, their history, obligations and deadlines."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import await_only

from shared.storage.schema import CORE_DDL

revision = "casework_0001"
down_revision = None
branch_labels = None
depends_on = None


def create_core() -> None:
    # Only the driver itself runs several statements at once.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "a migration runs on a connection"
    await_only(driver.execute(CORE_DDL))


def create_campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        schema="casework",
    )


def create_calendar_amendments() -> None:
    op.create_table(
        "calendar_amendments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("calendar_version", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.CheckConstraint("kind in ('year', 'day')", name=op.f("ck_calendar_amendments_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar_amendments")),
        schema="casework",
    )


def create_series() -> None:
    op.create_table(
        "series",
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_series")),
        schema="casework",
    )


def create_cases() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source_number", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("problem_item", sa.Text(), nullable=True),
        sa.Column("redacted_summary", sa.Text(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("real_name", sa.Boolean(), nullable=False),
        sa.Column("named_unit_id", sa.Text(), nullable=True),
        sa.Column("accused_unit_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("accused_record", sa.Integer(), nullable=False),
        sa.Column("excluded_unit_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("handler_id", sa.Uuid(), nullable=True),
        sa.Column("handler_name", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finding", sa.Text(), nullable=True),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("returns", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("urges", sa.Integer(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "channel in ('hotline', 'online', 'letter', 'counter', 'import')",
            name=op.f("ck_cases_channel"),
        ),
        sa.CheckConstraint(
            "kind in ('complaint', 'report', 'suggestion', 'inquiry', 'praise', 'finding')",
            name=op.f("ck_cases_kind"),
        ),
        sa.CheckConstraint("source in ('complaint', 'visit')", name=op.f("ck_cases_source")),
        sa.CheckConstraint(
            "state in ('pending', 'not_accepted', 'merged') or unit_id is not null",
            name=op.f("ck_cases_responsible"),
        ),
        sa.CheckConstraint(
            "finding in ('substantiated', 'partly_substantiated', 'unsubstantiated')",
            name=op.f("ck_cases_finding"),
        ),
        sa.CheckConstraint(
            "urgency in ('normal', 'urgent', 'critical')", name=op.f("ck_cases_urgency")
        ),
        sa.CheckConstraint(
            "unit_id is null or unit_id <> all (excluded_unit_ids)"
            " or state in ('closed', 'struck_off', 'merged')",
            name=op.f("ck_cases_excluded"),
        ),
        sa.CheckConstraint(
            "unit_id is null or released_at is not null", name=op.f("ck_cases_released")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["casework.campaigns.id"], name=op.f("fk_cases_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("number", name=op.f("uq_cases_number")),
        sa.UniqueConstraint("source", "source_id", name=op.f("uq_cases_source_source_id")),
        schema="casework",
    )


def create_cases_indexes() -> None:
    op.create_index(
        "ix_cases_closed",
        "cases",
        ["closed_at"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("closed_at is not null"),
    )
    op.create_index(
        "ix_cases_rating",
        "cases",
        ["rating"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("rating is not null"),
    )
    op.create_index(
        "ix_cases_open",
        "cases",
        ["state"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("state not in ('closed', 'struck_off', 'not_accepted', 'merged')"),
    )
    op.create_index(
        "ix_cases_redacted_summary",
        "cases",
        ["redacted_summary"],
        unique=False,
        schema="casework",
        postgresql_using="gin",
        postgresql_ops={"redacted_summary": "public.gin_trgm_ops"},
    )
    op.create_index("ix_cases_unit", "cases", ["unit_id", "state"], unique=False, schema="casework")
    op.create_index(
        "ix_cases_accused",
        "cases",
        ["id"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("accused_unit_ids <> '{}'"),
    )


def create_obligations() -> None:
    op.create_table(
        "obligations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("obligation_rule_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("deliverable", sa.Text(), nullable=False),
        sa.Column("fulfilled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fulfilled_by_name", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["casework.campaigns.id"],
            name=op.f("fk_obligations_campaign_id_campaigns"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_obligations")),
        sa.UniqueConstraint(
            "campaign_id",
            "unit_id",
            "obligation_rule_id",
            name=op.f("uq_obligations_campaign_id_unit_id_obligation_rule_id"),
        ),
        schema="casework",
    )


def create_units() -> None:
    op.create_table(
        "units",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("unit_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["casework.campaigns.id"], name=op.f("fk_units_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "unit_id", name=op.f("pk_units")),
        schema="casework",
    )


def create_deadlines() -> None:
    op.create_table(
        "deadlines",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("obligation_id", sa.Uuid(), nullable=True),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("warn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("severe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("calendar_version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_warn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("later_warns", postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("warned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lapsed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state <> 'lapsed' or lapsed_at is not null", name=op.f("ck_deadlines_lapsed")
        ),
        sa.CheckConstraint(
            "state in ('running', 'lapsed', 'paused', 'completed', 'cancelled')",
            name=op.f("ck_deadlines_state"),
        ),
        sa.CheckConstraint(
            "(case_id is null) <> (obligation_id is null)", name=op.f("ck_deadlines_subject")
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["casework.cases.id"], name=op.f("fk_deadlines_case_id_cases")
        ),
        sa.ForeignKeyConstraint(
            ["obligation_id"],
            ["casework.obligations.id"],
            name=op.f("fk_deadlines_obligation_id_obligations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deadlines")),
        schema="casework",
    )


def create_deadlines_indexes() -> None:
    op.create_index("ix_deadlines_case", "deadlines", ["case_id"], unique=False, schema="casework")
    op.create_index(
        "ix_deadlines_due",
        "deadlines",
        ["due_at"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_deadlines_provisional",
        "deadlines",
        ["due_at"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("provisional and state in ('running', 'paused')"),
    )
    op.create_index(
        "ix_deadlines_warn",
        "deadlines",
        ["next_warn_at"],
        unique=False,
        schema="casework",
        postgresql_where=sa.text("state = 'running' and next_warn_at is not null"),
    )
    op.create_index(
        "uq_deadlines_obligation",
        "deadlines",
        ["obligation_id"],
        unique=True,
        schema="casework",
        postgresql_where=sa.text("obligation_id is not null"),
    )
    op.create_index(
        "uq_deadlines_active",
        "deadlines",
        ["case_id", "kind"],
        unique=True,
        schema="casework",
        postgresql_where=sa.text("state in ('running', 'lapsed', 'paused')"),
    )


def create_extensions() -> None:
    op.create_table(
        "extensions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by_id", sa.Uuid(), nullable=False),
        sa.Column("requested_by_name", sa.Text(), nullable=False),
        sa.Column("approved_by", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('requested', 'approved', 'refused', 'lapsed')",
            name=op.f("ck_extensions_state"),
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["casework.cases.id"], name=op.f("fk_extensions_case_id_cases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extensions")),
        schema="casework",
    )
    op.create_index(
        "uq_extensions_requested",
        "extensions",
        ["case_id"],
        unique=True,
        schema="casework",
        postgresql_where=sa.text("state = 'requested'"),
    )


def create_case_history() -> None:
    op.create_table(
        "case_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=True),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("by_role", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["casework.cases.id"], name=op.f("fk_case_history_case_id_cases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_history")),
        schema="casework",
    )
    op.create_index(
        "ix_case_history_case", "case_history", ["case_id", "id"], unique=False, schema="casework"
    )


def create_submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("measures", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_name", sa.Text(), nullable=True),
        sa.Column("opinion", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "decision in ('approved', 'sent_back')", name=op.f("ck_submissions_decision")
        ),
        sa.CheckConstraint(
            "finding in ('substantiated', 'partly_substantiated', 'unsubstantiated')",
            name=op.f("ck_submissions_finding"),
        ),
        sa.ForeignKeyConstraint(
            ["case_id"], ["casework.cases.id"], name=op.f("fk_submissions_case_id_cases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("case_id", "no", name=op.f("uq_submissions_case_id_no")),
        schema="casework",
    )


def create_suspensions() -> None:
    op.create_table(
        "suspensions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"], ["casework.cases.id"], name=op.f("fk_suspensions_case_id_cases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspensions")),
        schema="casework",
    )
    op.create_index(
        "uq_suspensions_open",
        "suspensions",
        ["case_id"],
        unique=True,
        schema="casework",
        postgresql_where=sa.text("ended_at is null"),
    )


def create_case_mergers() -> None:
    op.create_table(
        "case_mergers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("into_complaint_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("deadline_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"], ["casework.cases.id"], name=op.f("fk_case_mergers_case_id_cases")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_mergers")),
        schema="casework",
    )
    op.create_index(
        "uq_case_mergers_open",
        "case_mergers",
        ["case_id"],
        unique=True,
        schema="casework",
        postgresql_where=sa.text("undone_at is null"),
    )


def upgrade() -> None:
    create_core()
    create_campaigns()
    create_calendar_amendments()
    create_series()
    create_cases()
    create_cases_indexes()
    create_obligations()
    create_units()
    create_deadlines()
    create_deadlines_indexes()
    create_extensions()
    create_case_history()
    create_submissions()
    create_suspensions()
    create_case_mergers()


def downgrade() -> None:
    raise NotImplementedError("migrations only go forward; restore a backup instead")
