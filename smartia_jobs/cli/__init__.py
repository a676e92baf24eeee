"""The command line: parse, build a run, call a job, print its report, exit."""

import sys


def main() -> int:
    """Run the program and return its exit status (the console script's entry point)."""
    from smartia_jobs.cli.streams import cannot_be_written, give_up_output, prepare_streams

    prepare_streams()
    try:
        status = _answer()
        sys.stdout.flush()
    except OSError as error:
        if not cannot_be_written(error):
            raise
        return give_up_output(error)
    return status


def _answer() -> int:
    if sys.argv[1:] == ["--version"]:
        from smartia_jobs import __version__

        # Typer, which would say the same, takes four times as long to load as Python itself.
        sys.stdout.write(f"smartia-jobs {__version__}\n")
        return 0

    import gc

    # A short run is mostly imports, and what they make stays: looking through it for garbage
    # again and again, and once more at the end, would take a quarter of the run's time. While
    # messages are sent it is looked for often enough that memory does not grow with them.
    gc.set_threshold(5_000, 20, 20)
    from smartia_jobs.cli.app import main as run_app

    try:
        return run_app()
    finally:
        gc.freeze()
