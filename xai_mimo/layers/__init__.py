"""Keras 3 layers that explain themselves.

House rule: ``keras`` and nothing of ours; ``keras.ops`` only, so that TensorFlow, JAX and PyTorch give the same numbers.
Maps are sown (see ``interception``), never stored.
"""
