"""Values in, files out: every report can be made again from the saved JSON, without model or data.

House rule: nothing here imports a model, a method or a metric; every name that reaches HTML or LaTeX is escaped.
"""
