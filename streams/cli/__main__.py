"""`python -m streams.cli` is `travelos`."""

from streams.cli.main import main

main()
