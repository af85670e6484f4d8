"""Queries of intake: typed read models for pages and the API."""
