"""The command line: ``verbs`` are the commands, ``options`` makes settings of arguments, ``printing`` shows results."""

from labelcontrast.cli.verbs import main as main
