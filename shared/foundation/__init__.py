"""Settings, telemetry, tracing, clock, failpoints and request coalescing."""
