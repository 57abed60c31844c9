"""Arguments that Ultralytics' predict takes and yolean's calls do not, with what to use instead."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import InputError

_LOAD = "it belongs to yolean.load: {}"
_SAVE = "nothing is saved unasked: {}"

INSTEAD = {
    "augment": "there is no test-time augmentation; tile= finds small objects",
    "cfg": "there are no files of settings: give the arguments",
    "channels_last": "this is of torch",
    "compile": "this is of torch",
    "data": "class names come from the model file, or names= of yolean.load",
    "deterministic": "a run has no randomness",
    "device": _LOAD.format("device="),
    "dnn": "ONNX Runtime always runs the model",
    "embed": "features are not given out",
    "exist_ok": _SAVE.format("result.save(FILE), yolean predict --save DIR"),
    "format": "`yolean export` makes the file once",
    "half": _LOAD.format('precision="fp16", or a file in half precision'),
    "int8": "`yolean optimize --int8` makes such a file once",
    "line_width": "it belongs to result.plot(line_width=...)",
    "mode": "call the model; `yolean val` and `yolean export` are in the shell",
    "model": "yolean.load(MODEL) gives what is called",
    "name": _SAVE.format("result.save(FILE), yolean predict --save DIR"),
    "nms": "the export decides it",
    "persist": "it belongs to model.track",
    "plots": _SAVE.format("result.save(FILE)"),
    "project": _SAVE.format("result.save(FILE), yolean predict --save DIR"),
    "quantize": _LOAD.format('precision="fp16"; `yolean optimize --int8` makes a file'),
    "rect": "exports with free height and width are always run so",
    "save": _SAVE.format("result.save(FILE), yolean predict --save DIR"),
    "save_conf": _SAVE.format("result.save_txt(FILE, save_conf=True)"),
    "save_crop": _SAVE.format("result.save_crop(DIR)"),
    "save_frames": _SAVE.format("result.save(FILE) of each frame of model.stream(VIDEO)"),
    "save_txt": _SAVE.format("result.save_txt(FILE)"),
    "seed": "a run has no randomness",
    "show": "it belongs to results: result.show()",
    "show_boxes": "it belongs to result.plot(boxes=...)",
    "show_conf": "it belongs to result.plot(conf=...)",
    "show_labels": "it belongs to result.plot(labels=...)",
    "stream": "call model.stream(SOURCE)",
    "stream_buffer": "live sources give their latest frame; a generator of frames gives every one",
    "task": _LOAD.format("task=, for files without metadata"),
    "tracker": "it belongs to model.track",
    "verbose": "nothing is printed: print(result.verbose())",
    "vid_stride": "give a generator of every Nth frame as the source",
    "visualize": "feature maps are not given out",
    "workers": "the cores that may be used; threads= of yolean.load",
}


def refuse(names: Iterable[str]) -> None:
    """Refuse the arguments of a call that it does not have.

    Raises:
        InputError: the first of them is one of Ultralytics'; the line says what to use here.
        TypeError: it is not.
    """
    for name in names:
        if name in INSTEAD:
            raise InputError(f"{name}= is an argument of Ultralytics and not of yolean: {INSTEAD[name]}")
        raise TypeError(f"the call got an unexpected keyword argument {name!r}")
