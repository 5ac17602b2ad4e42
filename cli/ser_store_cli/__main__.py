"""``serstore`` as the console script and ``python -m ser_store_cli`` start it."""

import sys

from ser_store_cli import INTERRUPTED


def main() -> None:
    """Load the commands and run one; Ctrl-C while they load ends the program as it does later."""
    try:
        from ser_store_cli import app
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was written is complete\n")
        sys.exit(INTERRUPTED)
    app.main()


if __name__ == "__main__":
    main()
