"""Who made a file: Ed25519 signatures of models, ONNX files and bundles; docs/signing.md has their format."""
