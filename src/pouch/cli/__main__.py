"""`python -m pouch.cli`: how `up` starts its children."""

from pouch.cli import main

main()
