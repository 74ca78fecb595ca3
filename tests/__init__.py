"""The test suite; a package so that rooms can share ``tests.helpers.toys``."""
