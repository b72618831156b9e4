"""The tests of this folder share drawn hierarchies and walks over them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
