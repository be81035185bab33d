"""`python -m unrollviz` is the command line."""

from unrollviz.cli import main

main()
