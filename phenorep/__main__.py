"""``python -m phenorep`` is the command line."""

import sys

from phenorep.cli import main

sys.exit(main())
