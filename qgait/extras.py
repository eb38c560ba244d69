"""Which extra of qgait brings a package that is missing: the smallest one that does."""

from __future__ import annotations

# by the name that is imported; a test holds this against pyproject.toml
EXTRAS = {
    "cv2": "images",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxsim": "onnx",
    "torch": "torch",
    "safetensors": "torch",
    "yaml": "torch",
    "tensorboard": "torch",
    "tvm": "compile",
    "tvm_ffi": "compile",
    "ziglang": "compile",
    "tosa": "npu",
    "tosa_reference_model": "npu",
    "ethosu": "npu",
    "jinja2": "report",
    "cryptography": "sign",
}


def install(package: str) -> str:
    """The command that brings ``package``, whatever part of it was imported."""
    return f"pip install 'qgait[{EXTRAS.get(package.split('.')[0], 'all')}]'"
