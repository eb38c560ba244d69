"""Runs a peer's trunk some times on one frame: on this machine, and, as a program, under the arm64 Python.

    python peer_run.py (onnxruntime | litert) MODEL FRAME.npy RUNS OUTPUTS.npz

FRAME is uint8 [64, 44]. OUTPUTS gets the last run's outputs as float32 [1, C, H, W], arr_0 and so on. numpy and the
peer are all that is imported. One thread; the loop calls nothing but the peer's own run function.
"""

from __future__ import annotations

import sys

import numpy as np


def onnxruntime(model: str, frame: np.ndarray, runs: int) -> list[np.ndarray]:
    """Outputs after ``runs`` runs of an ONNX file whose input is float32 in [0, 1]."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, frame[None, None].astype(np.float32) / 255)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    for _ in range(runs):
        session.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()


def litert(model: str, frame: np.ndarray, runs: int) -> list[np.ndarray]:
    """Outputs after ``runs`` runs of an int8 TFLite file whose input has scale 1/255 and zero point -128."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    codes = (frame.astype(np.int16) - 128).astype(np.int8)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], codes[None, :, :, None])
    for _ in range(runs):
        interpreter.invoke()
    outputs = []
    for detail in interpreter.get_output_details():
        scale, zero = detail["quantization"]
        values = (interpreter.get_tensor(detail["index"]).astype(np.float32) - zero) * np.float32(scale)
        outputs.append(values.transpose(0, 3, 1, 2))
    return outputs


RUNNERS = {"onnxruntime": onnxruntime, "litert": litert}

if __name__ == "__main__":
    kind, model_path, frame_path, times, outputs_path = sys.argv[1:]
    np.savez(outputs_path, *RUNNERS[kind](model_path, np.load(frame_path), int(times)))
