"""PostgreSQL and Redis: transactions, connections, error classes, core schema, migrations."""
