"""The fault laboratory: real servers, real processes, seeded load, seeded faults, and the
invariants that must hold when all is at rest.
"""
