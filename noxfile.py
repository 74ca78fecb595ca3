"""The suite on every Python that is supported: ``nox``, ``nox -s tests-jax-3.13``, ``nox -l`` for a list.

``make check`` and ``make test`` use one Python and one environment with everything; here each session has its own,
with one backend. Tests that need another framework skip themselves.
"""

import nox

PYTHONS = ("3.11", "3.12", "3.13")
PINNED = ("--quiet", "--constraint", "constraints.txt")

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["check", "minimal", "tests-jax"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True


def _tests(session: nox.Session, backend: str, extras: str, tests: str) -> None:
    session.install(*PINNED, "--editable", f".[{extras}]", "pytest", "pytest-xdist", "hypothesis")
    compiled = session.cache_dir.resolve() / f"compiled-{session.python}"
    environment = {
        "KERAS_BACKEND": backend,
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    chosen = session.posargs or ["-n", "2", "-m", tests]
    session.run("python", "-m", "pytest", *chosen, env=environment)


@nox.session(python=PYTHONS, name="tests-jax")
def tests_jax(session: nox.Session) -> None:
    """The suite on JAX: nox -s tests-jax-3.12 -- tests/core."""
    _tests(session, "jax", "jax,shap,zarr", "not slow")


@nox.session(python=PYTHONS, name="tests-tensorflow")
def tests_tensorflow(session: nox.Session) -> None:
    """The suite on TensorFlow."""
    _tests(session, "tensorflow", "tensorflow,shap,zarr", "not slow and not all_frameworks")


@nox.session(python=PYTHONS, name="tests-torch")
def tests_torch(session: nox.Session) -> None:
    """The suite on PyTorch."""
    _tests(session, "torch", "torch,captum,shap,zarr", "not slow and not all_frameworks")


@nox.session(python=PYTHONS)
def check(session: nox.Session) -> None:
    """Format, lint, arrows, types."""
    session.install(*PINNED, "--editable", ".", "ruff", "mypy", "import-linter", "pandas-stubs")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")
    session.run("mypy", "--python-version", str(session.python))


@nox.session(python=PYTHONS)
def minimal(session: nox.Session) -> None:
    """The package alone, no framework beside it: it imports, explains a function and writes a report."""
    session.install(*PINNED, "--force-reinstall", "--no-deps", ".")
    session.install(*PINNED, ".")
    session.run("python", ".ci/minimal.py")
