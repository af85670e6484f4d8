"""Notify: who is told what, when and how. It hears facts, writes notifications to an inbox, and carries
them out of the house.
"""
