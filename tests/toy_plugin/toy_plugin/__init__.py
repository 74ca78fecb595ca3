"""A worked example: what a third party writes to bring its own model, method, metric and report format."""
