"""Where a person sees what they requested."""

from uuid import UUID


def request_url(approval_id: UUID) -> str:
    """Return the page of a request that waits for a second person."""
    return f"/scoring/dual-approvals/{approval_id}"
