"""Edited versions of templates."""

from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from services.notify.tables import NotificationTemplate
from shared.storage.transaction import Transaction


async def newest_by_kind(tx: Transaction) -> dict[str, NotificationTemplate]:
    """Return the newest version of each kind that was edited."""
    kind = col(NotificationTemplate.kind)
    version = col(NotificationTemplate.version)
    query = select(NotificationTemplate).distinct(kind).order_by(kind, version.desc())
    return {template.kind: template for template in await tx.scalars(query)}


async def list_versions(tx: Transaction, kind: str) -> list[NotificationTemplate]:
    """Return all edited versions of one kind, newest first."""
    query = select(NotificationTemplate).where(col(NotificationTemplate.kind) == kind)
    return await tx.scalars(query.order_by(col(NotificationTemplate.version).desc()))


_INSERT: Final = """
insert into templates (kind, version, text, written_by, created_at)
values ($1, $2, $3, $4, $5) on conflict do nothing
"""


async def insert(
    tx: Transaction,
    kind: str,
    *,
    version: int,
    text: str,
    account_id: UUID,
) -> bool:
    """Insert a version. Return False if it exists already."""
    return bool(await tx.run(_INSERT, kind, version, text, account_id, tx.now))
