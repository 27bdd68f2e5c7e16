"""``python -m mainspring``: the command line."""

from mainspring.hosts.cli.app import main

if __name__ == "__main__":
    main()
