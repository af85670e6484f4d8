"""The verbs of intake, by subject."""
