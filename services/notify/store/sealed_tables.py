"""The tables that hold encrypted records, and the ids under which these were sealed."""

from typing import Final

from shared.security.master_keys import SealedTable

SEALED_TABLES: Final = (SealedTable("subscriptions", "id::text"),)
