"""`python -m shipwheel`."""

import sys

from shipwheel.cli.main import main

sys.exit(main())
