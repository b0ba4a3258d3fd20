"""``python -m edgeser``: the command line."""

from edgeser.cli import main

main(prog_name="edgeser")
