"""Commands of scoring, one module per subject."""
