"""Intake: complaints as received, the informants' vault, questionnaires, ballots, visits, files and
accounts.
"""
