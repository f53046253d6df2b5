"""A user's own file, model, explainer and metric."""
