"""Landscape: gradients, weights, their norms and trajectory, and the loss around them."""

from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.landscape.curvature import hessian_eigenvalues, loss_line, sharpness
from grokinterp.analysis.landscape.gradients import gradient_flow, gradient_noise
from grokinterp.analysis.landscape.learning_coefficient import local_learning_coefficient
from grokinterp.analysis.landscape.norm_bounds import norm_bounds
from grokinterp.analysis.landscape.weight_path import weight_path
from grokinterp.analysis.landscape.weights import singular_values, weight_norms

CHAPTER = (
    Entry(gradient_flow),
    Entry(weight_norms, copies=1),
    Entry(weight_path, title="Weight trajectory", copies=1),
    Entry(singular_values, copies=1),
    Entry(norm_bounds, most=9),
    Entry(gradient_noise, most=5),
    Entry(local_learning_coefficient, most=5),
    Entry(hessian_eigenvalues, most=5),
    Entry(sharpness, most=5),
    Entry(loss_line, most=5, title="Loss on the line to the final weights"),
)
