"""Seal drafts of redacted summaries, whatever they are about."""

from uuid import UUID

from services.intake.store.summaries import NewDraft
from shared.security.keyring import KeyRing, SealedRecord


def seal_draft(ring: KeyRing, subject_id: UUID, text: str) -> SealedRecord:
    """Return the text of a draft, encrypted."""
    return ring.seal(f"{subject_id}/draft", {"redacted_summary": text})


def new_draft(
    ring: KeyRing,
    subject_id: UUID,
    text: str,
    *,
    author_id: UUID | None = None,
) -> NewDraft:
    """Return a draft to insert; `author_id` None: it was drafted from the original."""
    sealed = seal_draft(ring, subject_id, text)
    return NewDraft(subject_id=subject_id, author_id=author_id, sealed=sealed)
