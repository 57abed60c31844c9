"""yolean: BGR array to `Results`. Under an interpreter with onnxruntime-openvino, on that provider."""

from __future__ import annotations

from typing import Any

from .side import Job, Side, installed_versions, main


def start(job: Job) -> Side:
    """As its users call it; `masks.xy` is asked for, because others compute outlines at once."""
    import yolean

    runtimes = installed_versions("onnxruntime-openvino", "onnxruntime")
    if runtimes[0] == "onnxruntime-openvino":
        precision = {"f32": "fp32"}.get(job.precision, job.precision)
        model = yolean.load(job.model, device="openvino", precision=precision)
    else:
        model = yolean.load(job.model, device="cpu", threads=job.threads)

    def predict(image: Any, shape: tuple[int, int]) -> Any:
        result = model(image, conf=job.conf, iou=job.iou, max_det=job.max_det)[0]
        if result.masks is not None:
            _ = result.masks.xy
        return result

    def answer(result: Any) -> dict[str, Any]:
        from yolean.benchmarks.answers import as_answer  # not while a cold start is timed

        return as_answer(result)

    about = {"provider": model.session.provider, "yolean": yolean.__version__}
    # A checkout that is not installed has no requirements to follow: these are they.
    own = installed_versions("yolean") or ("numpy", "opencv-python-headless", "click", "rich")
    return Side(predict, answer, (*own, runtimes[0]), about)


if __name__ == "__main__":
    main(start)
