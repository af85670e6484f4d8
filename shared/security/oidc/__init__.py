"""OpenID Connect: ask an identity provider who somebody is (authorization code flow with PKCE).

The provider authenticates and grants nothing: role and organisation come from the account here.
Whatever it sends is limited in size and time and verified before it is believed.
"""

from shared.security.oidc.id_token import Identity, InvalidIdToken
from shared.security.oidc.provider import (
    IdentityProvider,
    PendingRequest,
    ProviderRefusal,
    ProviderUnavailable,
)
from shared.security.oidc.settings import OidcSettings

__all__ = [
    "Identity",
    "IdentityProvider",
    "InvalidIdToken",
    "OidcSettings",
    "PendingRequest",
    "ProviderRefusal",
    "ProviderUnavailable",
]
