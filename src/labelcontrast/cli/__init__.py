"""The command line: ``verbs`` puts its verbs together, ``options`` makes settings, the two of printing show results."""

from labelcontrast.cli.verbs import main as main
