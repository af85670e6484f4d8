"""The result of a check."""

SchemeViolation = tuple[str, str]
"""(path in the scheme, e.g. `components[2].weight`; sentence in Chinese)."""
