"""Ways to explain: each file turns a model and rows into attributions, for every framework.

House rule: values in, values out. Methods are frozen settings (see ``xai_mimo.core.method``); they know ``core`` only,
never a framework, a metric or a report.
"""
