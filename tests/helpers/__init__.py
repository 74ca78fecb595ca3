"""What several tests need: models solvable by hand, formulas written slowly, made records. Imported as ``tests.helpers.x``."""
