"""Notify (通知): inbox, messages to the outside, subscriptions, templates and escalation."""
