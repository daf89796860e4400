"""Run one CNN inference on many devices at once, exactly."""
