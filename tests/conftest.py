"""What every test may lean on: the shared data, found by a variable, and a machine without a network."""

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden numbers and real data; a user does not have it, CI must."""
    folder = Path(os.environ.get("LABELCONTRAST_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI needs the shared folder. Looked in {folder}.")
        pytest.skip(
            f"needs the shared folder of golden numbers and data; looked in {folder} (set LABELCONTRAST_SHARED)"
        )
    return folder
