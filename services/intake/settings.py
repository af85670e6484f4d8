"""What intake's actions find at `tx.context`."""

from dataclasses import dataclass, field
from pathlib import Path

from shared.foundation.settings import Settings
from shared.security.keyring import KeyRing
from shared.security.sessions import Sessions
from shared.storage.transaction import Transaction


@dataclass(slots=True)
class Context:
    """Settings, keys and what is remembered between requests. One for each process of the service."""

    settings: Settings
    ring: KeyRing = field(repr=False)
    sessions: Sessions | None = None
    """Where people are signed in; None in a process that only imports or migrates."""
    campaigns: dict[str, object] = field(default_factory=dict, repr=False)
    """Parsed campaigns by id; kept by `store.campaigns`."""

    @property
    def files(self) -> Path:
        """Folder of the encrypted files."""
        return self.settings.data_folder / "intake" / "files"


def context_of(tx: Transaction) -> Context:
    """The context of the service whose transaction this is."""
    assert isinstance(tx.context, Context), "intake's actions run in intake's transactions"
    return tx.context
