"""`python -m skillprobe`."""

import sys

from skillprobe.cli import main

if __name__ == "__main__":
    sys.exit(main())
