"""Commands of notify: publish, escalate and send notifications; inbox, subscriptions, templates."""
