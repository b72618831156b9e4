"""The tests of this folder share two files that are no tests: the oracle, and the golden files' reader."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
