"""The queries of casework, by subject: typed read models for pages and API."""
