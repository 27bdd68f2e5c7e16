"""Spans of runs for OpenTelemetry: ``tracing.OpenTelemetryTracing``. Imports opentelemetry-api, and ports."""
