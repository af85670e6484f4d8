"""The demo and the load generator: they use the system through its public HTTP interface only."""
