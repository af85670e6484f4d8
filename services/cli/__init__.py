"""The `fengping` command."""
