"""The simulator: people, texts and a load that meet the system where everybody does, at its public
HTTP doors.
"""
