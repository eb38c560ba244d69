"""Everything that executes the integer graph: reference, ONNX Runtime, compiled code."""
