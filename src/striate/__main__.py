"""`python -m striate` is the command line."""

import sys

from striate.cli import main

sys.exit(main())
