"""Intake: complaints as received, the complainants' vault, questionnaires, ballots, visits, files
and accounts.
"""
