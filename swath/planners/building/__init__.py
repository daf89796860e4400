"""What methods build plans with: layouts, cuts, weights, shares."""
