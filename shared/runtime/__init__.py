"""A service process: application, scheduled jobs, one-port server."""
