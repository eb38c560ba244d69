"""The integer graph as an ONNX file, and back."""
