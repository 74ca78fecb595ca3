"""Models in ONNX, run by onnxruntime: the class that the entry points ``onnx`` and ``onnxruntime`` name."""

from xai_mimo_adapters.onnx_adapter.adapter import OnnxAdapter as OnnxAdapter
