"""Working days, deadlines and holiday notices."""
