"""`python -m descent`."""

from descent.cli import main

main()
