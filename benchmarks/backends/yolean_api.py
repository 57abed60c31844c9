"""yolean by its public API, BGR array to `Results`: the version and the runtime that its interpreter has.

With onnxruntime-openvino installed it runs on that provider.
"""

from __future__ import annotations

from typing import Any

from .interface import Backend, Workload, installed_versions, run


def load(work: Workload) -> Backend:
    """As its users call it; `masks.xy` is computed, because other backends compute outlines at once."""
    import yolean

    runtimes = installed_versions("onnxruntime-openvino", "onnxruntime")
    if runtimes[0] == "onnxruntime-openvino":
        precision = {"f32": "fp32"}.get(work.precision, work.precision)
        model = yolean.load(work.model, device="openvino", precision=precision)
    else:
        model = yolean.load(work.model, device="cpu", threads=work.threads)

    def predict(image: Any, shape: tuple[int, int]) -> Any:
        result = model(image, conf=work.conf, iou=work.iou, max_det=work.max_det)[0]
        if result.masks is not None:
            _ = result.masks.xy
        return result

    def predict_folder(folder: str) -> int:
        objects = 0
        for result in model.stream(folder, conf=work.conf, iou=work.iou, max_det=work.max_det):
            objects += len(result)
            if result.masks is not None:
                _ = result.masks.xy
        return objects

    def answer(result: Any) -> dict[str, Any]:
        from ..reference_runner import answer  # not while a cold start is timed

        return answer(result)

    details = {"provider": model.session.provider, "yolean": yolean.__version__}
    # A checkout that is not installed has no requirements to follow: these are they.
    own = installed_versions("yolean") or ("numpy", "opencv-python-headless", "click", "rich")
    return Backend(predict, answer, (*own, runtimes[0]), details, predict_folder)


if __name__ == "__main__":
    run(load)
