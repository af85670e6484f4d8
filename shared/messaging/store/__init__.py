"""SQL of the messaging tables: outbox, inbox, buffered events, dead letters, log checkpoints."""
