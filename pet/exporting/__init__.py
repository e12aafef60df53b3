"""A finished run for other programs: transformers, ONNX, datasets."""
