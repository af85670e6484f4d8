"""The commands of `fengping`, one module each."""
