"""A table below its title, on a terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_titled(console: "Console", title: str, table: "Table") -> None:
    """Print a table below its title, which may be the wider: a table's own would be broken.

    Brackets in the title are no colours.
    """
    from rich.text import Text

    console.print(Text(title, style="table.title"))
    console.print(table)
