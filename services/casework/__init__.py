"""Casework (办理): cases from complaint or finding to 销号, with every deadline, and the
obligations of units.
"""
