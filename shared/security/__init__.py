"""Accounts and policies, sessions, passwords, key ring, PII detection, audit log."""
