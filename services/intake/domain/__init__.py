"""Pure rules of intake: no I/O, no clock, no chance."""
