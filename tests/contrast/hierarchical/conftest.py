"""The tests of this folder share its oracle and its trees."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
