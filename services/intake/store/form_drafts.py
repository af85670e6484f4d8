"""Encrypted drafts of public forms, kept until they expire."""

from datetime import datetime

from shared.storage.transaction import Transaction


async def save(
    tx: Transaction,
    draft_id: bytes,
    body: bytes,
    expires_at: datetime,
) -> None:
    """Insert or replace an encrypted draft."""
    await tx.run(
        "insert into form_drafts (id, body, expires_at) values ($1, $2, $3) on conflict (id) "
        "do update set body = excluded.body, expires_at = excluded.expires_at",
        draft_id,
        body,
        expires_at,
    )


async def find(tx: Transaction, draft_id: bytes) -> bytes | None:
    """Return the encrypted body of a draft that has not expired."""
    body: bytes | None = await tx.fetchval(
        "select body from form_drafts where id = $1 and expires_at > $2", draft_id, tx.now
    )
    return body


async def delete(tx: Transaction, draft_id: bytes) -> None:
    """Delete a draft."""
    await tx.run("delete from form_drafts where id = $1", draft_id)


async def delete_expired(tx: Transaction, *, batch: int) -> int:
    """Delete expired drafts; return how many."""
    return await tx.run(
        "delete from form_drafts where id in "
        "(select id from form_drafts where expires_at <= $1 limit $2)",
        tx.now,
        batch,
    )
