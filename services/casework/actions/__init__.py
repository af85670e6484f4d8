"""The verbs of casework, by subject: opening, dispatch, handling, extensions, deadlines, obligations,
calendar.
"""
