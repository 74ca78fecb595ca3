"""A worked example: what a third party writes for its own model, method, metric, report format and engine."""
