"""The tests of this folder import its other files: batches, oracles, trees, and the reader of golden files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
