"""The list on a terminal, and the same without colours in a pipe."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from smartia_jobs.cli.calls.lines import Line, Shown, when
from smartia_jobs.cli.calls.wording import ENGLISH_WEEKDAYS, english

#: What a pipe or a file gets.
_PLAIN_WIDTH = 80
#: A long name is broken rather than pushing the reason to the edge.
_WIDEST_NAME = 36


def to_text(shown: Shown, *, terminal: bool) -> str:
    """Return the table as text.

    Args:
        shown: the lines.
        terminal: with the colours and the width of the terminal on standard output; else plain
            text, 80 columns wide.
    """
    console = (
        Console(highlight=False, markup=False)
        if terminal
        else Console(highlight=False, markup=False, width=_PLAIN_WIDTH, color_system=None)
    )
    with console.capture() as captured:
        for part in _parts(shown, console.width):
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _parts(shown: Shown, width: int) -> Iterator[RenderableType]:
    found, count = shown.found, len(shown.lines)
    days = "today, tomorrow, and what is unsettled"
    what = days if found.day is None else f"on {found.day}"
    yield f"{count} to call: {what} ({found.made_at:%Y-%m-%d %H:%M}, clinic time)"
    if not found.knows_messages:
        yield "This database has no table of messages yet: nothing was sent from it."
    if shown.lines:
        yield _table(shown, width)


def _table(shown: Shown, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    for heading in ("when", "visit"):
        table.add_column(heading, no_wrap=True)
    table.add_column("who", overflow="fold", max_width=min(_WIDEST_NAME, width // 4))
    table.add_column("why, and what to do", overflow="fold", ratio=1)
    for line in shown.lines:
        call = line.call
        table.add_row(
            when(call.start, ENGLISH_WEEKDAYS, "%d %b %H:%M"),
            str(call.appointment_id or ""),
            "\n".join(filter(None, (call.name, line.phone))),
            _reason(line),
        )
    return table


def _reason(line: Line) -> Text:
    call = line.call
    text = Text(english(call.why), style="bold")
    if call.also:
        text.append(f" (also {', '.join(map(english, call.also))})", style="not bold")
    if call.text:
        text.append(f"\n“{_one_line(call.text)}”", style="not bold italic")
    if call.answer_id:
        text.append(f"\nanswer {call.answer_id}: ", style="not bold")
    text.append("" if call.answer_id else "\n").append(call.what, style="not bold")
    return text


def _one_line(text: str) -> str:
    """Return what somebody wrote without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)
