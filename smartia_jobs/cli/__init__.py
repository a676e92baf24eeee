"""The command line: parse, build a run, call a job, print its report, exit."""

import sys


def main() -> int:
    """Run the program and return its exit status (the console script's entry point)."""
    # Before anything that takes time to load: a signal may come at any moment.
    from smartia_jobs.cli.signals import leave_at_once

    leave_at_once()
    from smartia_jobs.cli.streams import prepare_streams, status_of_output
    from smartia_jobs.errors import InterruptedRunError

    prepare_streams()
    try:
        status = status_of_output(_run())
    except InterruptedRunError as error:  # when a command had already said all it had to say
        status = int(error.exit_status)
    leave_at_once(status)
    return status


def _run() -> int:
    if sys.argv[1:] == ["--version"]:
        from smartia_jobs import __version__

        # Typer, which would say the same, takes four times as long to load as Python itself.
        sys.stdout.write(f"smartia-jobs {__version__}\n")
        return 0

    from smartia_jobs.cli import garbage

    garbage.load()
    from smartia_jobs.cli.app import main as run_app

    try:
        return run_app(sys.argv[1:])
    finally:
        garbage.leave()
