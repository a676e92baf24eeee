"""The command line: parse, build a run, call a job, print its report, exit."""


def main() -> int:
    """Run the program and return its exit status (the console script's entry point)."""
    from smartia_jobs.cli.app import main as run_app

    return run_app()
