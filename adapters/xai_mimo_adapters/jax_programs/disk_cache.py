"""What JAX compiled, kept on disk between processes, unless the user has settings of his own.

JAX has one such cache a process, so what the user compiles after it was switched on is kept too. It is switched on
before the first network is compiled, not by an import.
"""

import os

import jax

from xai_mimo.core.cache import cache_folder

MAX_BYTES = 2**30
_MIN_SECONDS = 0.1
"""JAX keeps what took a second to compile; half of a network's programs take less, and together as long."""


def keep_on_disk() -> None:
    """Switch JAX's disk cache on, where the user has not said where it is to be, or that there is to be none."""
    if jax.config.jax_compilation_cache_dir is not None or not jax.config.jax_enable_compilation_cache:
        return
    folder = cache_folder()
    if folder is None:
        return
    if jax.config.jax_compilation_cache_max_size == -1:
        jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        shortest = min(_MIN_SECONDS, jax.config.jax_persistent_cache_min_compile_time_secs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", shortest)
    jax.config.update("jax_compilation_cache_dir", str(folder))
