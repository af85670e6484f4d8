"""What all four services stand on: events, database, bus, ticks, auth, vault, calendar, schemes,
web.
"""
