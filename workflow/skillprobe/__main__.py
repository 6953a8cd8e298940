"""`python -m skillprobe`."""

import sys

from skillprobe.cli import main

sys.exit(main())
