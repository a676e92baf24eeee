"""A span of instants."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Window:
    """A span of instants, both edges included."""

    from_at: datetime
    until_at: datetime

    def __contains__(self, instant: datetime) -> bool:
        """Whether ``instant`` lies in the span."""
        return self.from_at <= instant <= self.until_at
