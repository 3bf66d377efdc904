"""Export of a policy step to ONNX."""

import importlib

import torch

from common.deploy.export import OUTPUTS, Runner, flatten_inputs
from common.errors import UserError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")

# Coefficients of Acklam's rational approximation of the inverse Normal distribution; relative error 1e-9.
CENTRE = (-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.3577518672690, -30.66479806614716,
          2.506628277459239)  # fmt: skip
CENTRE_BELOW = (-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1.0)
TAIL = (-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
        2.938163982698783)  # fmt: skip
TAIL_BELOW = (0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1.0)
TAIL_PROBABILITY = 0.02425  # probability below which the tail begins


def require_packages() -> None:
    """Raise UserError if a package for ONNX is missing."""
    try:
        for name in PACKAGES:
            importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"ONNX needs more packages: pip install {' '.join(PACKAGES)} ({error}).") from error


def to_onnx(graph: torch.export.ExportedProgram, about: str) -> tuple[bytes, Runner]:
    """Return an ONNX file that includes the weights, and a function that runs it."""
    import onnxruntime

    inputs = graph.example_inputs[1]
    plain = graph.run_decompositions({torch.ops.aten.special_ndtri.default: ndtri})
    made = torch.onnx.export(
        plain, (), kwargs=inputs, input_names=list(flatten_inputs(inputs)), output_names=list(OUTPUTS), verbose=False
    )
    assert made is not None
    made.model.metadata_props["policy"] = about
    file = made.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(file)
    taken = [given.name for given in session.get_inputs()]  # unused inputs are not in the file
    feed = lambda given: {name: x.numpy() for name, x in flatten_inputs(given).items() if name in taken}
    return file, lambda given: session.run(None, feed(given))


def ndtri(p: torch.Tensor) -> torch.Tensor:
    """Return the inverse of the standard Normal distribution function, which ONNX lacks; computes in float64."""
    kind, p = p.dtype, p.double()
    side = (p - 0.5).clamp(-0.5 + TAIL_PROBABILITY, 0.5 - TAIL_PROBABILITY)
    square = side * side
    centre = side * polynomial(CENTRE, square) / polynomial(CENTRE_BELOW, square)
    near = torch.minimum(p, 1 - p).clamp(1e-30, TAIL_PROBABILITY)
    root = (-2 * near.log()).sqrt()
    tail = polynomial(TAIL, root) / polynomial(TAIL_BELOW, root)
    outside = torch.where(p < 0.5, tail, -tail)
    return torch.where((p < TAIL_PROBABILITY) | (p > 1 - TAIL_PROBABILITY), outside, centre).to(kind)


def polynomial(coefficients: tuple[float, ...], x: torch.Tensor) -> torch.Tensor:
    """Return the value of a polynomial; coefficients begin with the highest power."""
    total = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total
