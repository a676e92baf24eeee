"""The list on a terminal, and the same without colours in a pipe."""

from collections.abc import Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from smartia_jobs.cli.calls.lines import Shown, when
from smartia_jobs.cli.calls.wording import ENGLISH_WEEKDAYS, english
from smartia_jobs.jobs.calls import Call

#: What a pipe or a file gets.
_PLAIN_WIDTH = 80
#: A long name is broken rather than pushing the reason to the edge.
_WIDEST_NAME = 36
#: What somebody wrote is shown whole on the page and in JSON.
_LONGEST_TEXT = 160


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
    days = found.day or "rest of today, tomorrow, unsettled"
    yield f"{count} to call at {found.made_at:%Y-%m-%d %H:%M} (clinic time): {days}"
    if not found.knows_messages:
        yield "This database has no table of messages yet: nothing was sent from it."
    if shown.lines:
        yield _table(shown, width)


def _table(shown: Shown, width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True, leading=1)
    table.add_column("visit", no_wrap=True)
    table.add_column("who", overflow="fold", max_width=min(_WIDEST_NAME, width // 4))
    table.add_column("why, and what to do", overflow="fold", ratio=1)
    for line in shown.lines:
        table.add_row(
            _visit(line.call),
            "\n".join(filter(None, (line.call.name and _one_line(line.call.name), line.phone))),
            _reason(line.call),
        )
    return table


def _visit(call: Call) -> Text:
    text = Text(when(call.start, ENGLISH_WEEKDAYS, "%d %b %H:%M") or "no visit known")
    for what, number in (("visit", call.appointment_id), ("answer", call.answer_id)):
        if number is not None:
            text.append(f"\n{what} {number}", style="dim")
    return text


def _reason(call: Call) -> Text:
    text = Text(english(call.why), style="bold")
    if call.also:
        text.append(f" (also {', '.join(map(english, call.also))})", style="not bold")
    if call.text:
        words = _one_line(call.text)
        cut = words if len(words) <= _LONGEST_TEXT else f"{words[:_LONGEST_TEXT].rstrip()}…"
        text.append(f"\n“{cut}”", style="not bold italic")
    return text.append(f"\n{call.what}", style="not bold")


def _one_line(text: str) -> str:
    """Return what somebody wrote without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)
