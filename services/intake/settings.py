"""The context that intake's actions and views find at `tx.context`."""

from dataclasses import dataclass, field
from uuid import UUID

from services.intake.domain.second_factors import PendingSignIn
from services.intake.store.campaigns import KnownCampaign, new_cache
from services.intake.store.cast_counters import CastCounters
from services.intake.store.encrypted_files import EncryptedFolder
from shared.appraisal.campaigns import CampaignCache
from shared.foundation.settings import Settings
from shared.security.keyring import KeyRing
from shared.security.oidc import IdentityProvider, PendingRequest
from shared.security.sessions import Sessions
from shared.security.token_store import TokenStore
from shared.storage.organisations import RegisterCache
from shared.storage.transaction import Transaction


@dataclass(slots=True)
class IntakeContext:
    """Settings, keys and caches of one process of the service."""

    settings: Settings
    ring: KeyRing = field(repr=False)
    sessions: Sessions | None = None
    """Sessions of signed-in accounts; None in a process that only imports or migrates."""
    pending_sign_ins: TokenStore[PendingSignIn] | None = field(default=None, repr=False)
    """Sign-ins between password and one-time code; None where `sessions` is."""
    identity_provider: IdentityProvider | None = field(default=None, repr=False)
    """None: staff sign in with a password only."""
    pending_requests: TokenStore[PendingRequest] | None = field(default=None, repr=False)
    """Sign-ins that are at the identity provider; None without one."""
    cast_counters: CastCounters | None = field(default=None, repr=False)
    """Recent ballots by batch and source; None where `sessions` is, or if they are waived."""
    campaigns: CampaignCache[KnownCampaign] = field(default_factory=new_cache, repr=False)
    organisations: RegisterCache = field(default_factory=RegisterCache, repr=False)

    @property
    def serving_sessions(self) -> Sessions:
        """The sessions of a process that serves requests."""
        assert self.sessions is not None, "a process that serves requests has sessions"
        return self.sessions

    async def end_sessions(self, account_id: UUID, *, keep: str | None = None) -> None:
        """End the sessions of an account, except the one with token `keep`.

        A process that only imports or migrates has none to end. Raises CacheUnavailable.
        """
        if self.sessions is not None:
            await self.sessions.revoke_all(account_id, keep=keep)

    @property
    def files(self) -> EncryptedFolder:
        return EncryptedFolder(self.settings.data_folder / "intake" / "files", self.ring)


def context_of(tx: Transaction) -> IntakeContext:
    """Return the context of the service that opened this transaction."""
    assert isinstance(tx.context, IntakeContext), "intake's actions run in intake's transactions"
    return tx.context
