"""ONNX graphs of models, in float32 and in 8 bits."""
