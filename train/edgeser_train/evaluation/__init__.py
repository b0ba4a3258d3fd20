"""What is reported of an evaluation: figures, intervals, calibration, plots, comparisons."""
