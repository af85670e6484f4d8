"""SQL of scoring, one module per subject. Statements return typed rows."""
