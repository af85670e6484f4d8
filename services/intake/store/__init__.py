"""Queries on intake's schema, by subject. Only this package and tables.py contain SQL."""
