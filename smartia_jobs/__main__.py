"""``python -m smartia_jobs``: the same as the console script."""

from smartia_jobs.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
