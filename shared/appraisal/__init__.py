"""The language of appraisal that all services share: events, calendar, schemes, imports."""
