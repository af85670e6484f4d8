"""Create the shared tables, campaigns with rules and units, ballots, ledger and scores."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import await_only

from shared.storage.schema import CORE_DDL, partitions_ddl

revision = "scoring_0001"
down_revision = None
branch_labels = None
depends_on = None


def run(script: str) -> None:
    # Only the driver itself runs several statements at once.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "a migration runs on a connection"
    await_only(driver.execute(script))


def upgrade() -> None:
    run(CORE_DDL)
    create_organisations()
    create_campaigns()
    create_ballots()
    create_integrity()
    create_ledger()
    run(partitions_ddl("scoring", ("ballots", "ledger")))
    create_scores()
    create_score_changes()
    create_recounts()
    # These rows are updated constantly; free space in their pages avoids index updates.
    op.execute(
        "alter table scoring.tallies set (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05)"
    )
    op.execute(
        "alter table scoring.scores set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)"
    )


def create_organisations() -> None:
    """The register of organisations, with names and successions."""
    op.execute("create sequence scoring.organisation_ids")
    op.create_table(
        "organisations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("official_code", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("aliases", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state in ('active', 'ended', 'withdrawn')", name=op.f("ck_organisations_state")
        ),
        sa.CheckConstraint(
            "kind in ('unit', 'section', 'station', 'post', 'group')",
            name=op.f("ck_organisations_kind"),
        ),
        sa.CheckConstraint(
            "level in ('province', 'city', 'county', 'township')",
            name=op.f("ck_organisations_level"),
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["scoring.organisations.id"],
            name=op.f("fk_organisations_parent_id_organisations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
        sa.UniqueConstraint("official_code", name=op.f("uq_organisations_official_code")),
        schema="scoring",
    )
    op.create_index(
        op.f("ix_scoring_organisations_parent_id"),
        "organisations",
        ["parent_id"],
        unique=False,
        schema="scoring",
    )
    op.create_table(
        "organisation_names",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["scoring.organisations.id"],
            name=op.f("fk_organisation_names_organisation_id_organisations"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "position", name=op.f("pk_organisation_names")),
        schema="scoring",
    )
    create_successions()


def create_successions() -> None:
    """Which body became which."""
    op.create_table(
        "organisation_successions",
        sa.Column("predecessor_id", sa.Text(), nullable=False),
        sa.Column("successor_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("takes_over", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "kind in ('merged', 'split')", name=op.f("ck_organisation_successions_kind")
        ),
        sa.ForeignKeyConstraint(
            ["predecessor_id"],
            ["scoring.organisations.id"],
            name=op.f("fk_organisation_successions_predecessor_id_organisations"),
        ),
        sa.ForeignKeyConstraint(
            ["successor_id"],
            ["scoring.organisations.id"],
            name=op.f("fk_organisation_successions_successor_id_organisations"),
        ),
        sa.PrimaryKeyConstraint(
            "predecessor_id", "successor_id", name=op.f("pk_organisation_successions")
        ),
        schema="scoring",
    )
    op.create_index(
        "uq_organisation_successions_heir",
        "organisation_successions",
        ["predecessor_id"],
        unique=True,
        schema="scoring",
        postgresql_where=sa.text("takes_over"),
    )


def create_campaigns() -> None:
    """Campaigns, their rules, units and response groups."""
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("scheme_id", sa.Text(), nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shown_to_units_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_unit_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.CheckConstraint("id ~ '^[A-Za-z0-9][A-Za-z0-9-]{0,39}$'", name=op.f("ck_campaigns_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        schema="scoring",
    )
    op.create_table(
        "schemes",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["scoring.campaigns.id"], name=op.f("fk_schemes_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "version", name=op.f("pk_schemes")),
        schema="scoring",
    )
    op.create_table(
        "units",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("unit_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("aliases", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.CheckConstraint("unit_no between 1 and 65535", name=op.f("ck_units_unit_no")),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["scoring.campaigns.id"], name=op.f("fk_units_campaign_id_campaigns")
        ),
        sa.ForeignKeyConstraint(
            ["unit_id"], ["scoring.organisations.id"], name=op.f("fk_units_unit_id_organisations")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "unit_id", name=op.f("pk_units")),
        schema="scoring",
    )
    op.create_index(
        op.f("ix_scoring_units_unit_id"), "units", ["unit_id"], unique=False, schema="scoring"
    )
    op.create_index(
        "uq_units_unit_no", "units", ["campaign_id", "unit_no"], unique=True, schema="scoring"
    )
    op.create_table(
        "response_groups",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["scoring.campaigns.id"],
            name=op.f("fk_response_groups_campaign_id_campaigns"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response_groups")),
        schema="scoring",
    )
    op.create_index(
        "uq_response_groups_key",
        "response_groups",
        ["campaign_id", "instrument", "group_key"],
        unique=True,
        schema="scoring",
    )


def create_ballots() -> None:
    """Ballots, their tallies, and pending rescores."""
    op.create_table(
        "ballots",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("ballot_id", sa.Uuid(), nullable=False),
        sa.Column("response_group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=False),
        sa.Column("released_hour", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "ballot_id", name=op.f("pk_ballots")),
        schema="scoring",
        postgresql_partition_by="LIST (campaign_id)",
    )
    op.create_table(
        "tallies",
        sa.Column("response_group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("option_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("answer_count", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint(
            "response_group_id", "unit_no", "item_no", "option_no", "shard", name=op.f("pk_tallies")
        ),
        schema="scoring",
    )
    op.create_table(
        "pending_rescores",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("unit_nos", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.CheckConstraint(
            "source in ('ballot', 'visit', 'case', 'rating', 'obligation', 'sheet', "
            "'decision', 'rules')",
            name=op.f("ck_pending_rescores_source"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_rescores")),
        schema="scoring",
    )


def create_integrity() -> None:
    op.create_table(
        "voided_ballots",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("ballot_id", sa.Uuid(), nullable=False),
        sa.Column("integrity_event_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "ballot_id", name=op.f("pk_voided_ballots")),
        schema="scoring",
    )
    op.create_index(
        op.f("ix_scoring_voided_ballots_integrity_event_id"),
        "voided_ballots",
        ["integrity_event_id"],
        unique=False,
        schema="scoring",
    )
    op.create_table(
        "integrity_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ballots", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integrity_events")),
        schema="scoring",
    )
    op.create_index(
        "ix_integrity_events_of_campaign",
        "integrity_events",
        ["campaign_id"],
        unique=False,
        schema="scoring",
    )


def create_ledger() -> None:
    """Everything else that can change a score."""
    op.create_table(
        "ledger",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unit_no", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=True),
        sa.Column("option_no", sa.SmallInteger(), autoincrement=False, nullable=True),
        sa.Column("points", sa.Numeric(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "event_id", "part", name=op.f("pk_ledger")),
        schema="scoring",
        postgresql_partition_by="LIST (campaign_id)",
    )
    op.create_index(
        "ix_ledger_source",
        "ledger",
        ["campaign_id", "source_id"],
        unique=False,
        schema="scoring",
        postgresql_where=sa.text("source_id is not null"),
    )
    op.create_index(
        "ix_ledger_subject", "ledger", ["campaign_id", "subject_id"], unique=False, schema="scoring"
    )
    op.create_index(
        "ix_ledger_unit", "ledger", ["campaign_id", "unit_no"], unique=False, schema="scoring"
    )


def create_scores() -> None:
    """Running scores and the results of earlier years."""
    op.create_table(
        "scores",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("ranked", sa.Boolean(), nullable=False),
        sa.Column("sample", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unpublished", sa.Boolean(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id", "unit_no"],
            ["scoring.units.campaign_id", "scoring.units.unit_no"],
            name=op.f("fk_scores_campaign_id_units"),
        ),
        sa.PrimaryKeyConstraint("campaign_id", "unit_no", "scheme_version", name=op.f("pk_scores")),
        schema="scoring",
    )
    op.create_index(
        "ix_scores_unpublished",
        "scores",
        ["published_at"],
        unique=False,
        schema="scoring",
        postgresql_where=sa.text("unpublished"),
    )
    op.create_table(
        "outcomes",
        sa.Column("scheme_id", sa.Text(), nullable=False),
        sa.Column("year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("line", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=True),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("from_bottom", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["unit_id"],
            ["scoring.organisations.id"],
            name=op.f("fk_outcomes_unit_id_organisations"),
        ),
        sa.PrimaryKeyConstraint("scheme_id", "year", "unit_id", "line", name=op.f("pk_outcomes")),
        schema="scoring",
    )
    op.create_index(
        op.f("ix_scoring_outcomes_unit_id"),
        "outcomes",
        ["unit_id"],
        unique=False,
        schema="scoring",
    )


def create_score_changes() -> None:
    """Changes of totals."""
    op.create_table(
        "score_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("unit_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("ballots", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("before", sa.Numeric(), nullable=True),
        sa.Column("after", sa.Numeric(), nullable=True),
        sa.Column("rank_before", sa.Integer(), autoincrement=False, nullable=True),
        sa.Column("rank_after", sa.Integer(), autoincrement=False, nullable=True),
        sa.CheckConstraint(
            "source in ('ballot', 'visit', 'case', 'rating', 'obligation', 'sheet', "
            "'decision', 'rules')",
            name=op.f("ck_score_changes_source"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_score_changes")),
        schema="scoring",
    )
    op.create_index(
        "ix_score_changes_unit",
        "score_changes",
        ["campaign_id", "unit_no", "id"],
        unique=False,
        schema="scoring",
    )
    op.create_index(
        "uq_score_changes_ballots",
        "score_changes",
        ["campaign_id", "unit_no", "scheme_version", "day"],
        unique=True,
        schema="scoring",
        postgresql_where=sa.text("source = 'ballot'"),
    )


def create_recounts() -> None:
    """Results of recounts."""
    op.create_table(
        "recounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("scheme_version", sa.Text(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted_by", sa.Text(), nullable=False),
        sa.Column("ballots", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lines", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("units", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["scoring.campaigns.id"],
            name=op.f("fk_recounts_campaign_id_campaigns"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recounts")),
        schema="scoring",
    )
    op.create_index(
        op.f("ix_scoring_recounts_campaign_id"),
        "recounts",
        ["campaign_id"],
        unique=False,
        schema="scoring",
    )


def downgrade() -> None:
    raise NotImplementedError("migrations are not reversible: restore a backup instead")
