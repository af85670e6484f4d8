"""The tables that hold encrypted records, and the ids under which these were sealed."""

from typing import Final

from shared.security.master_keys import SealedTable

SEALED_TABLES: Final = (
    SealedTable("vault", "complaint_id || '/' || part"),
    SealedTable("supplements", "id::text"),
    SealedTable("files", "'file/' || id"),
    SealedTable("summary_drafts", "subject_id || '/draft'"),
    SealedTable("visits", "'visit/' || id"),
    SealedTable("findings", "'finding/' || id"),
    SealedTable("hotline_drafts", "'draft/' || id"),
    SealedTable("second_factors", "'second-factor/' || account_id"),
    SealedTable("written_opinions", "'opinion/' || id"),
)
