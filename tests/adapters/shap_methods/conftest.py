"""Trees of ninety rows are not grown by many threads."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
