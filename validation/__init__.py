"""Scores of a model on a labelled dataset: mAP and what belongs to it, as Ultralytics' `val` defines them."""
