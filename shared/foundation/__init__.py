"""Settings, telemetry, clock, failpoints and request coalescing: what everything else stands on."""
