"""Questions to intake's schema, by subject. SQL stands here and in tables.py only."""
