"""The command line: ``verbs`` puts its verbs together, ``options`` makes settings, ``printing`` shows results."""

from labelcontrast.cli.verbs import main as main
