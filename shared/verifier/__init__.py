"""Checks an exported archive offline: `python -m shared.verifier ARCHIVE …`.

It shares no code with the services: it imports the standard library and `cryptography` only, and
knows the archive only as docs/export-format.md describes it.
"""
