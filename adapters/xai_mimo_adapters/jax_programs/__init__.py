"""What every adapter that computes on JAX needs: programs compared, gradients of several heads, what is kept on disk.

House rule: nothing here knows what a model is; functions of arrays alone.
"""
