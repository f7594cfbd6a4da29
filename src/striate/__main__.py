"""`python -m striate` is the command line."""

from striate.cli import main

main()
