"""A trained policy outside of training: `load`, and export to torch and ONNX files."""
