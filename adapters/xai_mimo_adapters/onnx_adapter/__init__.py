"""Models in ONNX, run by onnxruntime; nothing in a file is run as code.

``adapter`` is what the entry points name; ``loading`` makes a session of a file, bytes or a parsed model; ``spec``
reads streams and heads off it, ``kinds`` what the operators tell of a head.
"""

from xai_mimo_adapters.onnx_adapter.adapter import OnnxAdapter as OnnxAdapter
