"""`python -m services.witness FOLDER HOST PORT`: a witness without the rest of the program."""

import sys
from pathlib import Path

from services.witness.server import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), host=sys.argv[2], port=int(sys.argv[3]))
