"""What executes the integer graph and needs no compiler: reference, ONNX Runtime, TOSA's model, bundles, QEMU, ssh."""
