"""Import complaints, ballots or visits from a file, two hundred rows per transaction, each once.

A row is recorded by its source and its id in the transaction that imports it. An import that was
killed is started again with the same file: rows that were imported count as repeated.
"""

from services.intake.actions.imports.batches import ImportProgress
from services.intake.actions.imports.jobs import read_job, run_import, start_import
from services.intake.actions.imports.rows import ImportJob

__all__ = ["ImportJob", "ImportProgress", "read_job", "run_import", "start_import"]
