"""Measurements, side by side in one run; ratios count, single times on a shared machine do not."""
