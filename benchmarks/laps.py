"""A stopwatch for phases that come again and again."""

from benchmarks.bound import now


class Laps:
    """Adds up the seconds of phases; every lap ends one and begins the next.

    Args:
        device: Is waited for at the end of each lap.

    Attributes:
        seconds: Phase -> seconds, in the order of their first ends.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.last = now(device)

    def lap(self, phase: str) -> float:
        """End a phase; return its seconds."""
        present = now(self.device)
        took = present - self.last
        self.seconds[phase] = self.seconds.get(phase, 0.0) + took
        self.last = present
        return took
