"""From the quantized network to the integer graph, and from there to ONNX."""
