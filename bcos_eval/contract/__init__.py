"""What everything else agrees on: network, explainer, metric, stimulus, registries, plug-ins."""
