"""How trials are run, whatever they are trials of."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a comparison, a study and a search have in common."""

    jobs: int = 1
    """Trials at a time, each in a process of its own."""
    ray: str | None = None
    """The Ray cluster where they run; by default they run here."""
    resume: bool = False
    """Go on with what is there; more may be asked for."""
    force: bool = False
    """Remove what is there."""
    device: str = "cpu"
    """Where features are computed."""
