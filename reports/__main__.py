"""python -m reports PATH: the same as `reviewmill report PATH`."""

import sys

from reports import main
from reviews.errors import UserError

try:
    sys.exit(main())
except UserError as error:
    print(f"reviewmill report: {error}", file=sys.stderr)
    sys.exit(2)
