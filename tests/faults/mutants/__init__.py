"""Our own rules, broken one by one: each breach must turn a named test red, or that test proves
nothing.
"""
