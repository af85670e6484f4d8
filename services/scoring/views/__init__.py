"""Queries of scoring, one module per subject: typed read models for pages and API."""
