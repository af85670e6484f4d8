"""JSON API of notify under /notify/api.

Errors are problem+json; every write requires an `Idempotency-Key`.
"""

from services.notify.api import deliveries, notifications, subscriptions, templates

routers = (
    notifications.router,
    deliveries.router,
    subscriptions.router,
    templates.router,
)
