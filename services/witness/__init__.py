"""witness (见证): cosigns the checkpoints of audit logs, with a key and a store of its own.

It shares nothing with the services but the network: it imports the verifier only, and should run
under another owner. Protocol: C2SP tlog-witness; signatures: C2SP tlog-cosignature.
"""
