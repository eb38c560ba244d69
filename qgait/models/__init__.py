"""Float backbones with OpenGait's layers and state-dict names, and their checkpoints."""
