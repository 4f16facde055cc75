#!/usr/bin/env python3
"""FLaaS on the command line: `python server.py -h`."""

from flaas.cli import main

if __name__ == "__main__":
    main()
