"""When a process looks for garbage: a short run is mostly imports, and what they make stays.

Looking through it again and again, and once more at the end, would take a quarter of its time.
"""

import gc


def load() -> None:
    """Look for none from here on: the program is loaded."""
    gc.disable()


def work() -> None:
    """Look for it again, but never at what was loaded before.

    While messages are sent it is looked for often enough that memory does not grow with them.
    """
    if gc.isenabled():  # a process that another program loaded, or a command within another
        return
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
    gc.enable()


def leave() -> None:
    """Look for none at the end of the process, which frees everything."""
    gc.freeze()
