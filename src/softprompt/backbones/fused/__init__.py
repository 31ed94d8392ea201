"""Decoder layers of the Llama family, forward and backward, in few and large operations.

Frozen weights need no gradient, so the backward pass is short enough to write out: nothing is
recorded operation by operation, products that share an input are one product, and the last layer
works only where something is predicted. It knows the structure of a layer, not the name of a model;
`Backbone` compares what comes out with the model's own forward pass before it is used.
"""

from softprompt.backbones.fused.layer import Layer
from softprompt.backbones.fused.replay import computed
from softprompt.backbones.fused.stack import Stack

__all__ = ["Layer", "Stack", "computed"]
