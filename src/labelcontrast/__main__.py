"""``python -m labelcontrast`` is the command."""

from labelcontrast.cli import main

main()
