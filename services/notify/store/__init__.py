"""Queries of the schema `notify`, as typed rows.

What an account may read is decided here, in the conditions of the queries.
"""
