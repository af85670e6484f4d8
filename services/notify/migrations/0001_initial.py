"""The core tables, then reference data, notifications, read receipts and deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import await_only

from shared.storage.schema import CORE_DDL

revision = "notify_0001"
down_revision = None
branch_labels = None
depends_on = None


def create_core() -> None:
    # Only the driver accepts several statements in one call.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "a migration runs on a connection"
    await_only(driver.execute(CORE_DDL))


def upgrade() -> None:
    create_core()
    create_reference_data()
    create_notifications()
    create_read_receipts()
    create_deliveries()


def create_reference_data() -> None:
    """Create the reference data of other services."""
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("urgency", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        schema="notify",
    )
    op.create_table(
        "case_exclusions",
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("unit_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_case_exclusions")),
        schema="notify",
    )
    op.create_table(
        "obligations",
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "id", name=op.f("pk_obligations")),
        schema="notify",
    )
    op.create_table(
        "score_baselines",
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "unit_id", name=op.f("pk_score_baselines")),
        schema="notify",
    )
    op.create_table(
        "units",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("heir_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_units")),
        schema="notify",
    )


def create_notifications() -> None:
    """Create notifications and their templates."""
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("escalate_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=True),
        sa.Column("trace", sa.String(), nullable=True),
        sa.CheckConstraint(
            "role in ('reviewer', 'handler', 'unit_head', 'supervisor', 'office', 'leader')",
            name=op.f("ck_notifications_role"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("event_id", "role", name=op.f("uq_notifications_event_id_role")),
        schema="notify",
    )
    op.create_index(
        "notifications_escalation",
        "notifications",
        ["escalate_at"],
        unique=False,
        schema="notify",
        postgresql_where=sa.text("escalate_at is not null"),
    )
    op.create_index(
        "notifications_number", "notifications", ["number"], unique=False, schema="notify"
    )
    op.create_index(
        "notifications_of_role", "notifications", ["role", "id"], unique=False, schema="notify"
    )
    op.create_index(
        "notifications_of_unit",
        "notifications",
        ["role", "unit_id", "id"],
        unique=False,
        schema="notify",
    )
    op.create_index(
        "notifications_open",
        "notifications",
        ["role", "id"],
        unique=False,
        schema="notify",
        postgresql_where=sa.text("resolved_at is null"),
    )
    op.create_index(
        "notifications_of_subject",
        "notifications",
        ["subject_id", "stage"],
        unique=False,
        schema="notify",
    )
    op.create_table(
        "templates",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("written_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "version", name=op.f("pk_templates")),
        schema="notify",
    )


def create_read_receipts() -> None:
    """Create the read receipts."""
    op.create_table(
        "read_receipts",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notify.notifications.id"],
            name=op.f("fk_read_receipts_notification_id_notifications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("notification_id", "account_id", name=op.f("pk_read_receipts")),
        schema="notify",
    )


def create_deliveries() -> None:
    """Create subscriptions and deliveries."""
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("redacted_address", sa.String(), nullable=False),
        sa.Column("kinds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "channel in ('mail', 'webhook', 'apprise')", name=op.f("ck_subscriptions_channel")
        ),
        sa.CheckConstraint(
            "role in ('reviewer', 'handler', 'unit_head', 'supervisor', 'office', 'leader')",
            name=op.f("ck_subscriptions_role"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        schema="notify",
    )
    op.create_index(
        "subscriptions_audience",
        "subscriptions",
        ["role", "unit_id"],
        unique=False,
        schema="notify",
        postgresql_where=sa.text("stopped_at is null"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('waiting', 'delivered', 'failed', 'withdrawn')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notify.notifications.id"],
            name=op.f("fk_deliveries_notification_id_notifications"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["notify.subscriptions.id"],
            name=op.f("fk_deliveries_subscription_id_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "notification_id",
            "subscription_id",
            name=op.f("uq_deliveries_notification_id_subscription_id"),
        ),
        schema="notify",
    )
    op.create_index(
        "deliveries_waiting",
        "deliveries",
        ["due_at", "id"],
        unique=False,
        schema="notify",
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        op.f("ix_notify_deliveries_subscription_id"),
        "deliveries",
        ["subscription_id"],
        unique=False,
        schema="notify",
    )
