"""shap compiles its loops with numba, which takes longer than to run them on games as small as these."""

import os

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
