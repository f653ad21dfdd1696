"""Quality of models over seeds."""
