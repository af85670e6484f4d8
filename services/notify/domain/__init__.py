"""Pure rules: who is notified of which event, in which words, when it is sent, when to give up.

A notification is addressed to an audience, never to a person: a role and, for the roles of a unit,
the responsible unit. It names a case by number, stage, due time and link. The accused unit of a
举报 is never the responsible unit, so it is never notified.
"""
