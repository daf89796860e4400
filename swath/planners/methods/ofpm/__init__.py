"""OFPM: slices for uneven devices (FPM), who gathers and where each layer runs (OPM), both."""
