"""`python -m theobot` is `theobot`."""

import sys

from theobot.cli import main

sys.exit(main())
