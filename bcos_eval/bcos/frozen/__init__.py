"""The acceleration: twins of B-cos and ReLU networks whose factors are computed once."""
