"""Queries for pages and API, as typed read models."""
