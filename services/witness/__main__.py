"""`python -m services.witness FOLDER HOST PORT [LOGS]`: a witness and nothing else."""

import sys
from pathlib import Path

from services.witness.server import serve

if __name__ == "__main__":
    folder, host, port, *logs = sys.argv[1:]
    serve(Path(folder), host=host, port=int(port), logs=Path(logs[0]) if logs else None)
