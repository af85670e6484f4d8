"""TLS for mail and webhooks."""

import ssl
from functools import cache


@cache
def default_tls_context() -> ssl.SSLContext:
    """Return a context that verifies certificates; loaded once, because loading is slow."""
    return ssl.create_default_context()
