"""Web pages from templates: complete in themselves, with whatever is filled in escaped."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page_template(package: str, filters: dict[str, Callable[..., Any]]) -> Template:
    """Return the page of a command.

    Args:
        package: in whose folder ``page`` it stands, as ``page.html.jinja``.
        filters: what it may call, by name.
    """
    environment = Environment(
        loader=PackageLoader(package, "page"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template("page.html.jinja")
