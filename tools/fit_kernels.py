#!/usr/bin/env python3
"""Fits the short polynomials of exp_weight, exp2_coarse and gelu_coarse in src/cpu/vec_tmpl.c with the smallest
largest relative error (Lawson iteration).  Needs numpy."""
import math

import numpy as np

NODES = np.cos(np.pi * (np.arange(400) + 0.5) / 400)  # Chebyshev's, on [-1, 1]


def fit(basis, values, rounds=3000):
    weights = np.ones(len(values)) / len(values)
    for _ in range(rounds):
        w = np.sqrt(weights) / values
        coefficients = np.linalg.lstsq(basis * w[:, None], values * w, rcond=None)[0]
        error = np.abs(basis @ coefficients / values - 1)
        weights = weights * (error + 1e-15)
        weights /= weights.sum()
    return [float(f"{c:.9g}") for c in coefficients], error.max()


f = NODES / 2
for terms in 4, 7:
    print("2^f on [-0.5, 0.5], constant first:", *fit(np.vander(f, terms, increasing=True), 2.0**f))

p, y_max = 0.35, 6.5  # erfcx(y) = t P(t), t = 1 / (1 + p y); beyond, GELU is below 1e-18
low = 1 / (1 + p * y_max)
t = (1 + low) / 2 + (1 - low) / 2 * NODES
erfcx = np.array([math.erfc(y) * math.exp(y * y) for y in (1 / t - 1) / p])
print("P, constant first:", *fit(np.vander(t, 5, increasing=True) * t[:, None], erfcx))
