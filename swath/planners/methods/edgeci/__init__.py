"""EdgeCI: devices bid for blocks of rows (AWAS), layers fused by dynamic programming (DPFL)."""
