"""What became of the visits of a period, column by column, as the page draws it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from smartia_jobs.clinic.statistics import StatusCounts

#: What a column is made of, from its foot up: the class of its colour, and in words.
OUTCOMES = {
    "kept": "realizadas",
    "missed": "faltas",
    "cancelled": "canceladas",
    "open": "em aberto",
}
#: The same of a single visit.
_ONE = {**OUTCOMES, "kept": "realizada", "missed": "falta", "cancelled": "cancelada"}

#: More days than this are drawn as weeks.
MOST_DAYS = 92
#: Days below the columns, and numbers beside them.
_MOST_LABELS, _MOST_TICKS = 7, 4


@dataclass(frozen=True, slots=True)
class Column:
    """The visits of one day or week.

    Attributes:
        number: its place, from 0.
        title: what it says in words when it is pointed at.
        parts: for each outcome its name, how many visits lie below it, and its own.
    """

    number: int
    title: str
    parts: tuple[tuple[str, int, int], ...]

    @property
    def visits(self) -> int:
        """How high the column is."""
        return sum(visits for _, _, visits in self.parts)


@dataclass(frozen=True, slots=True)
class OverTime:
    """A chart of columns.

    Attributes:
        columns: in the order of time.
        top: how many visits the height of the chart stands for.
        ticks: the numbers beside it, the lowest first.
        labels: how far from the left each day below it stands, in percent, and the day.
        weekly: whether each column is a week.
    """

    columns: tuple[Column, ...]
    top: int
    ticks: tuple[int, ...]
    labels: tuple[tuple[float, str], ...]
    weekly: bool

    @classmethod
    def of(cls, by_day: Mapping[date, StatusCounts]) -> "OverTime":
        """Return the chart of a period's days, which are in order and at least one."""
        weekly = len(by_day) > MOST_DAYS
        counted = _by_week(by_day) if weekly else by_day
        columns = tuple(
            _column(number, f"semana de {day:%d/%m/%Y}" if weekly else f"{day:%d/%m/%Y}", counts)
            for number, (day, counts) in enumerate(counted.items())
        )
        highest = max(column.visits for column in columns)
        step = _step(highest)
        top = step * max(1, -(-highest // step))
        form = "%d/%m" if len(by_day) <= 366 else "%m/%Y"
        every = -(-len(columns) // _MOST_LABELS)
        labels = tuple(
            (round(100 * (number + 0.5) / len(columns), 2), f"{day:{form}}")
            for number, day in enumerate(counted)
            if number % every == 0
        )
        return cls(columns, top, tuple(range(0, top + 1, step)), labels, weekly)


def _by_week(by_day: Mapping[date, StatusCounts]) -> dict[date, StatusCounts]:
    weeks: dict[date, StatusCounts] = {}
    for day, counts in by_day.items():
        monday = day - timedelta(days=day.weekday())
        weeks[monday] = weeks.get(monday, StatusCounts()) + counts
    return weeks


def _column(number: int, when: str, counts: StatusCounts) -> Column:
    visits = (
        counts.completed, counts.no_show, counts.cancelled, counts.unresolved + counts.unset
    )  # fmt: skip
    told = ", ".join(
        f"{n} {(_ONE if n == 1 else OUTCOMES)[name]}"
        for name, n in zip(OUTCOMES, visits, strict=True)
    )
    floors = [sum(visits[:place]) for place in range(len(visits))]
    return Column(number, f"{when}: {told}", tuple(zip(OUTCOMES, floors, visits, strict=True)))


def _step(highest: int) -> int:
    """Return the smallest of 1, 2, 5, 10, … of which few reach the highest column's head."""
    step = 1
    while highest > step * _MOST_TICKS:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return step
